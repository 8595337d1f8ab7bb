"""Messages that clients do not finish take little memory and hold nobody up.

A server that reads whatever is sent would hold all of them. The test writes HTTP/2 by hand, because
no gRPC client stops in the middle of a message.
"""

from __future__ import annotations

import select
import socket
import struct
import time

import lossd
import numpy as np
from running_server import running_server

TIMEOUT = 60  # seconds, the limit of every wait

MIB = 1 << 20
FLAGS = (f"--max_inflight_bytes={9 * MIB}", f"--max_message_bytes={8 * MIB}")
CALLS = 64  # their messages have 512 MiB

DATA, HEADERS, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE = 0, 1, 3, 4, 6, 8
INITIAL_WINDOW_SIZE = 4  # a parameter of SETTINGS
ACK = 1
END_HEADERS = 4
FRAME_BYTES = 16384
FIRST_WINDOW = 65535


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def header(name: bytes, value: bytes) -> bytes:
    """Encodes a header in HPACK, neither indexed nor compressed."""
    return b"\x10" + bytes([len(name)]) + name + bytes([len(value)]) + value


COMPUTE_LOSS = b"".join(
    header(name, value)
    for name, value in (
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", b"/lossd.v1.LossService/ComputeLoss"),
        (b":authority", b"lossd"),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
    )
)


class Connection:
    """Sends within HTTP/2's windows. `ended` has the error codes of streams the server reset."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), TIMEOUT)
        self._socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0, b""))
        self._received = b""
        self._window = FIRST_WINDOW
        self._first_window = FIRST_WINDOW  # the window of a new stream
        self._windows: dict[int, int] = {}
        self.ended: dict[int, int] = {}

    def open(self, stream: int) -> None:
        self._windows[stream] = self._first_window
        self._socket.sendall(frame(HEADERS, END_HEADERS, stream, COMPUTE_LOSS))

    def send(self, stream: int, data: bytes) -> int:
        """Sends as much of `data` as the windows allow and returns how many bytes that was."""
        count = max(0, min(len(data), self._window, self._windows[stream], FRAME_BYTES))
        if count > 0:
            self._socket.sendall(frame(DATA, 0, stream, data[:count]))
            self._window -= count
            self._windows[stream] -= count
        return count

    def can_send(self, stream: int) -> bool:
        """Returns whether the windows allow another byte."""
        return self._window > 0 and self._windows[stream] > 0

    def read(self, seconds: float) -> None:
        """Handles received frames; waits at most `seconds` for the first bytes."""
        while select.select([self._socket], [], [], seconds)[0]:
            received = self._socket.recv(MIB)
            assert received, "the server closed the connection"
            self._received += received
            seconds = 0
        while len(self._received) >= 9:
            size = int.from_bytes(self._received[:3], "big")
            if len(self._received) < 9 + size:
                return
            kind, flags, stream = struct.unpack(">BBI", self._received[3:9])
            payload = self._received[9 : 9 + size]
            self._received = self._received[9 + size :]
            self._on_frame(kind, flags, stream, payload)

    def close(self) -> None:
        self._socket.close()

    def _on_frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == WINDOW_UPDATE and stream == 0:
            self._window += int.from_bytes(payload, "big")
        elif kind == WINDOW_UPDATE:
            self._windows[stream] += int.from_bytes(payload, "big")
        elif kind == RST_STREAM:
            self.ended.setdefault(stream, int.from_bytes(payload, "big"))
        elif kind == PING and not flags & ACK:
            self._socket.sendall(frame(PING, ACK, 0, payload))
        elif kind == SETTINGS and not flags & ACK:
            for name, value in struct.iter_unpack(">HI", payload):
                if name == INITIAL_WINDOW_SIZE:
                    for each in self._windows:
                        self._windows[each] += value - self._first_window
                    self._first_window = value
            self._socket.sendall(frame(SETTINGS, ACK, 0, b""))


def send_all_but_a_byte(connection: Connection, streams: list[int], size: int) -> int:
    """Sends each stream its `size`-byte message but for a byte, as far as the server lets it.

    Returns the bytes sent when nothing could be sent for a fifth of a second.
    """
    message = b"\0" + struct.pack(">I", size) + bytes(size - 1)
    sent = dict.fromkeys(streams, 0)
    while True:
        before = sum(sent.values())
        for stream, count in sent.items():
            sent[stream] += connection.send(stream, message[count : count + FRAME_BYTES])
        stuck = sum(sent.values()) == before
        connection.read(0.2 if stuck else 0)
        unfinished = [stream for stream, count in sent.items() if count < len(message)]
        if stuck and not any(connection.can_send(stream) for stream in unfinished):
            return before


def test_messages_that_are_never_finished_stay_with_the_client() -> None:
    with running_server("--backend=cpu", *FLAGS) as server:
        connection = Connection(server.address)
        streams = [2 * i + 1 for i in range(CALLS)]
        for stream in streams:
            connection.open(stream)
        start = time.monotonic()
        sent = send_all_but_a_byte(connection, streams, 8 * MIB)
        # One message is received at once, and two more in each second.
        let_in = 2 + 2 * (time.monotonic() - start)
        assert sent <= CALLS * FIRST_WINDOW + let_in * 8 * MIB
        assert not connection.ended
        with lossd.Client(server.address) as client:
            assert client.compute_loss(np.zeros(4), np.zeros(4)).valid_count == 4
        connection.close()
