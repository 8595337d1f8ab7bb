"""What one connection may do with HTTP/2 does not keep others from being answered.

Each case is harmless in its amount: it is far beyond what a client does, and far below what
would hurt a machine. SECURITY.md has the outcomes.
"""

from __future__ import annotations

import gzip
import re
import socket
import struct
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import lossd
import numpy as np
import pytest
from http2_connection import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS,
    MAX_HEADER_LIST_SIZE,
    PING,
    RST_STREAM,
    SETTINGS,
    Connection,
    frame,
    grpc_headers,
    grpc_message,
)
from running_server import RunningServer, eventually, running_server

MIB = 1 << 20
SECONDS = 60
CANCEL, ENHANCE_YOUR_CALM = 8, 11  # error codes of HTTP/2
COMPUTE = grpc_headers("ComputeLoss")
# ComputeLossRequest: logits and targets of one float64, 0, each.
REQUEST = grpc_message(b"\x12\x0a\x22\x08" + bytes(8) + b"\x1a\x0a\x22\x08" + bytes(8))


def resident(server: RunningServer) -> int:
    """Returns the bytes of memory that the process has."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) << 10


@contextmanager
def attacked(*flags: str, growth: int = 64 * MIB) -> Iterator[tuple[RunningServer, lossd.Client]]:
    """A server, and a client that is answered before, between and after what a test does.

    Expects that the server's memory then has grown by no more than `growth`.
    """
    with (
        running_server("--backend=cpu", *flags) as server,
        lossd.Client(server.address) as bystander,
    ):
        answer(bystander)
        before = resident(server)
        yield server, bystander
        answer(bystander)
        assert resident(server) - before < growth
        assert eventually(bystander, lambda: bystander.compute_loss([0.0], [0.0]) is not None)


def answer(client: lossd.Client) -> None:
    result = client.compute_loss(np.zeros(1000), np.zeros(1000), timeout=SECONDS)
    assert result.valid_count == 1000


def headers(stream: int, block: bytes, flags: int = END_HEADERS) -> bytes:
    return frame(HEADERS, flags, stream, block)


def test_streams_that_are_reset_at_once() -> None:
    """Rapid reset: each call costs its beginning and its end, and leaves nothing."""
    with attacked() as (server, bystander), Connection(server.address) as attacker:
        for first in range(1, 20_000, 1000):
            attacker.send(
                b"".join(
                    headers(stream, COMPUTE)
                    + frame(RST_STREAM, 0, stream, struct.pack(">I", CANCEL))
                    for stream in range(first, first + 1000, 2)
                )
            )
            answer(bystander)


def test_pings_without_end() -> None:
    """gRPC makes an error of some kilobytes for each ping that it reads before it closes."""
    with attacked(growth=128 * MIB) as (server, bystander), Connection(server.address) as attacker:
        attacker.send(frame(PING, 0, 0, bytes(8)) * 10_000)
        assert attacker.goaway() == (ENHANCE_YOUR_CALM, b"too_many_pings")
        answer(bystander)


def test_settings_without_end() -> None:
    settings = frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW_SIZE, 65535))
    with attacked() as (server, bystander), Connection(server.address) as attacker:
        for _ in range(10):
            attacker.send(settings * 2000)
            answer(bystander)


def test_settings_whose_acknowledgements_nobody_reads() -> None:
    """The server stops reading a client that makes it write and does not read itself."""
    flood = frame(SETTINGS, 0, 0) * 1_000_000  # 9 MB
    with attacked() as (server, bystander), Connection(server.address) as attacker:
        attacker.send_some(flood, seconds=1)
        answer(bystander)


@pytest.mark.parametrize("size", [0, 1])
def test_frames_of_data_with_little_or_nothing_in_them(size: int) -> None:
    with attacked() as (server, bystander), Connection(server.address) as attacker:
        attacker.send(headers(1, COMPUTE))
        begin = struct.pack(">BI", 0, MIB)
        attacker.send(frame(DATA, 0, 1, begin) + frame(DATA, 0, 1, bytes(size)) * 10_000)
        answer(bystander)


def test_headers_in_pieces_that_have_nothing_in_them() -> None:
    with attacked() as (server, bystander), Connection(server.address) as attacker:
        attacker.send(headers(1, COMPUTE, END_STREAM) + frame(CONTINUATION, 0, 1) * 1000)
        answer(bystander)
        attacker.send(frame(CONTINUATION, END_HEADERS, 1))
        assert b"the call has no message" in attacker.take_end(1)


def test_headers_that_come_slowly_or_never() -> None:
    with attacked() as (server, bystander):
        slow = [Connection(server.address) for _ in range(50)]
        for connection in slow:
            connection.send(headers(1, COMPUTE, 0)[:20])
        answer(bystander)
        for connection in slow:
            connection.send(headers(1, COMPUTE, 0)[20:])
        answer(bystander)
        for connection in slow:
            connection.close()


def test_a_connection_that_does_not_begin_is_closed() -> None:
    with attacked("--handshake_timeout=200ms") as (server, bystander):
        host, _, port = server.address.rpartition(":")
        with socket.create_connection((host, int(port)), SECONDS) as silent:
            while silent.recv(4096):  # the server's own settings
                pass
        answer(bystander)  # whose connection is older than that


NO_WINDOW = struct.pack(">HI", INITIAL_WINDOW_SIZE, 0)


def ask(attacker: Connection, streams: range) -> None:
    for stream in streams:
        attacker.send(headers(stream, COMPUTE) + frame(DATA, END_STREAM, stream, REQUEST))


def test_answers_that_have_no_window() -> None:
    """They wait in the server, and their permits with them, while others are served."""
    with attacked() as (server, bystander):
        with Connection(server.address, NO_WINDOW) as attacker:
            ask(attacker, range(1, 201, 2))
            answer(bystander)
            assert not [each for each in attacker.frames if each.kind == DATA]
        # The permits of the answers come back with the end of their connection.
        assert eventually(bystander, lambda: inflight(server) == 0)


def test_answers_that_nobody_takes_are_dropped() -> None:
    with (
        attacked("--stream_idle_timeout=300ms") as (server, bystander),
        Connection(server.address, NO_WINDOW) as attacker,
    ):
        streams = range(1, 201, 2)
        ask(attacker, streams)
        for stream in streams:
            assert b"--stream_idle_timeout" in attacker.take_end(stream)
        assert eventually(bystander, lambda: inflight(server) == 0)


def inflight(server: RunningServer) -> float:
    with urllib.request.urlopen(f"http://{server.metrics}/metrics", timeout=SECONDS) as page:
        found = re.search(r"^lossd_inflight_requests (\S+)$", page.read().decode(), re.MULTILINE)
    assert found is not None
    return float(found[1])


def test_streams_that_never_end_are_ended() -> None:
    block = grpc_headers("StreamLoss")
    with (
        attacked("--stream_idle_timeout=300ms") as (server, bystander),
        Connection(server.address) as attacker,
    ):
        streams = range(1, 401, 2)
        attacker.send(b"".join(headers(stream, block) for stream in streams))
        answer(bystander)
        for stream in streams:
            assert attacker.take_end(stream)


def test_the_server_says_how_much_it_takes() -> None:
    with attacked() as (server, _), Connection(server.address) as attacker:
        settings = dict(struct.iter_unpack(">HI", attacker.take(SETTINGS).payload))
    assert settings[MAX_CONCURRENT_STREAMS] == 16384
    assert settings[MAX_HEADER_LIST_SIZE] == 8192


@pytest.mark.parametrize(
    "metadata",
    [[("large", "x" * 9000)], [(f"many-{number}", "x") for number in range(300)]],
    ids=["large", "many"],
)
def test_metadata_beyond_the_limit_ends_the_call(metadata: list[tuple[str, str]]) -> None:
    with attacked() as (server, bystander), grpc.insecure_channel(server.address) as channel:
        call = channel.unary_unary("/lossd.v1.LossService/GetServerInfo")
        with pytest.raises(grpc.RpcError) as refused:
            call(b"", metadata=metadata, timeout=SECONDS)
        assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        answer(bystander)
        assert call(b"", metadata=[("fits", "x" * 4000)], timeout=SECONDS)


def test_a_compressed_message_is_refused_before_it_is_unpacked() -> None:
    small = gzip.compress(bytes(64 * MIB))
    assert len(small) < 70_000
    block = grpc_headers("ComputeLoss", (b"grpc-encoding", b"gzip"))
    with attacked(growth=32 * MIB) as (server, bystander), Connection(server.address) as attacker:
        attacker.send(headers(1, block))
        message = grpc_message(small, compressed=True)[:60_000]
        attacker.send(
            b"".join(
                frame(DATA, 0, 1, message[at : at + 16384]) for at in range(0, len(message), 16384)
            )
        )
        assert b"12" in attacker.take_end(1)  # UNIMPLEMENTED
        answer(bystander)
