"""A client that falls silent loses its call at the call's deadline.

Clients end their calls at the deadline by themselves. One that is frozen, or whose network is
cut, does not, and the server does it for them.
"""

from __future__ import annotations

import re
import struct
import urllib.request

import lossd
import pytest
from http2_connection import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    Connection,
    frame,
    grpc_headers,
    grpc_message,
)
from running_server import RunningServer, eventually, running_server

SECONDS = 60
STATUS_DEADLINE_EXCEEDED = b"grpc-status\x014"  # as HPACK has it, not indexed
# ComputeLossRequest: logits and targets of one float64, 0, each.
REQUEST = grpc_message(b"\x12\x0a\x22\x08" + bytes(8) + b"\x1a\x0a\x22\x08" + bytes(8))
NO_WINDOW = struct.pack(">HI", INITIAL_WINDOW_SIZE, 0)


def begun(method: str, timeout: bytes = b"100m") -> bytes:
    """The frame that begins a call with a deadline of 100 ms."""
    return frame(HEADERS, END_HEADERS, 1, grpc_headers(method, (b"grpc-timeout", timeout)))


def calls(server: RunningServer, method: str, code: str) -> float:
    with urllib.request.urlopen(f"http://{server.metrics}/metrics", timeout=SECONDS) as page:
        text = page.read().decode()
    sample = rf'^lossd_requests_total{{method="{method}",code="{code}"}} (\S+)$'
    found = re.search(sample, text, re.MULTILINE)
    assert found is not None
    return float(found[1])


@pytest.mark.parametrize("flag", ["--stream_idle_timeout=1h", "--stream_idle_timeout=0"])
@pytest.mark.parametrize("method", ["ComputeLoss", "StreamLoss", "ComputeLosses"])
def test_in_the_middle_of_its_message(method: str, flag: str) -> None:
    counted = {"ComputeLosses": "ComputeLossesStream"}.get(method, method)
    with (
        running_server("--backend=cpu", flag) as server,
        lossd.Client(server.address) as client,
        Connection(server.address) as silent,
    ):
        silent.send(begun(method) + frame(DATA, 0, 1, REQUEST[:-4]))
        trailers = silent.take_end(1)
        assert STATUS_DEADLINE_EXCEEDED in trailers
        assert eventually(client, lambda: calls(server, counted, "DEADLINE_EXCEEDED") == 1)


def test_with_an_answer_that_it_does_not_take() -> None:
    with (
        running_server("--backend=cpu", "--stream_idle_timeout=1h") as server,
        lossd.Client(server.address) as client,
        Connection(server.address, NO_WINDOW) as silent,
    ):
        silent.send(begun("ComputeLoss", b"2S") + frame(DATA, END_STREAM, 1, REQUEST))
        silent.take_end(1)
        assert eventually(client, lambda: calls(server, "ComputeLoss", "DEADLINE_EXCEEDED") == 1)
