"""A client may ping as often as --keepalive_min_interval says, also while it has no call."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import pytest
from running_server import running_server

SETTINGS, PING, GOAWAY = 4, 6, 7
ACK = 1
ENHANCE_YOUR_CALM = 11


def frame(kind: int, payload: bytes = b"", flags: int = 0) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + bytes(4) + payload


def frames(connection: socket.socket) -> Iterator[tuple[int, int, bytes]]:
    """Yields the kind, flags and payload of each frame until the server closes."""
    with connection.makefile("rb") as stream:
        while len(head := stream.read(9)) == 9:
            length = int.from_bytes(head[:3], "big")
            yield head[3], head[4], stream.read(length)


def answers_to_pings(address: str, pings: int) -> list[bytes]:
    """Sends one ping after the other; returns the payloads of the answers.

    A GOAWAY ends the list with its payload.
    """
    host, port = address.rsplit(":", 1)
    answers: list[bytes] = []
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS))
        connection.sendall(frame(PING, struct.pack(">Q", 0)))
        for kind, flags, payload in frames(connection):
            if kind == SETTINGS and not flags & ACK:
                connection.sendall(frame(SETTINGS, flags=ACK))
            if kind == GOAWAY:
                return [*answers, payload]
            if kind != PING:
                continue
            if flags & ACK:
                answers.append(payload)
                if len(answers) == pings:
                    break
                connection.sendall(frame(PING, struct.pack(">Q", len(answers))))
            else:
                connection.sendall(frame(PING, payload, ACK))
    return answers


def test_pings_that_are_allowed_are_answered_without_a_call() -> None:
    with running_server("--keepalive_min_interval=0") as server:
        answers = answers_to_pings(server.address, 50)
    assert answers == [struct.pack(">Q", number) for number in range(50)]


@pytest.mark.parametrize("flags", [[], ["--keepalive_min_interval=1h"]], ids=["default", "1h"])
def test_a_client_that_pings_more_often_is_told_to_calm_down(flags: list[str]) -> None:
    with running_server(*flags) as server:
        answers = answers_to_pings(server.address, 50)
    _, code = struct.unpack(">II", answers[-1][:8])
    assert code == ENHANCE_YOUR_CALM
    assert answers[-1][8:] == b"too_many_pings"
