"""A bare HTTP/2 client that sends whatever frames a test wants, in whatever order.

No gRPC client does what an attacker does, so frames (RFC 9113) and headers (RFC 7541) are
written by hand. Nothing here waits for what the server does not send by itself.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Iterable
from dataclasses import dataclass

SECONDS = 60  # the limit of every wait

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    0,
    1,
    3,
    4,
    6,
    7,
    8,
    9,
)
ACK = END_STREAM = 1
END_HEADERS = 4
INITIAL_WINDOW_SIZE, MAX_CONCURRENT_STREAMS, MAX_HEADER_LIST_SIZE = 4, 3, 6  # of SETTINGS
FIRST_WINDOW = 65535

Headers = Iterable[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Frame:
    kind: int
    flags: int
    stream: int
    payload: bytes


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def text(value: bytes) -> bytes:
    """Encodes a string of HPACK, not compressed."""
    size = len(value)
    if size < 127:
        return bytes([size]) + value
    encoded = bytearray([127])
    size -= 127
    while size >= 128:
        encoded.append(size & 127 | 128)
        size >>= 7
    return bytes(encoded) + bytes([size]) + value


def header_block(headers: Headers) -> bytes:
    """Encodes headers in HPACK, never indexed."""
    return b"".join(b"\x10" + text(name) + text(value) for name, value in headers)


def grpc_headers(method: str, *more: tuple[bytes, bytes]) -> bytes:
    """Returns the header block of a call of lossd.v1.LossService."""
    return header_block(
        [
            (b":method", b"POST"),
            (b":scheme", b"http"),
            (b":path", b"/lossd.v1.LossService/" + method.encode()),
            (b":authority", b"lossd"),
            (b"te", b"trailers"),
            (b"content-type", b"application/grpc"),
            *more,
        ]
    )


def grpc_message(message: bytes, compressed: bool = False) -> bytes:
    return bytes([compressed]) + struct.pack(">I", len(message)) + message


class Connection:
    """Sends frames as they are. `frames` has what was received and not taken yet."""

    def __init__(self, address: str, settings: bytes = b"") -> None:
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), SECONDS)
        self._received = b""
        self.frames: list[Frame] = []
        self.ended = False  # the server has closed the connection
        self.send(PREFACE + frame(SETTINGS, 0, 0, settings))

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        """Sends all of `data`, and reads meanwhile, so that neither side is stuck.

        Data that the server no longer takes is dropped once it has closed the connection.
        """
        left = memoryview(data)
        while left and not self.ended:
            _, writable, _ = select.select([], [self._socket], [], 0)
            if writable:
                try:
                    left = left[self._socket.send(left) :]
                except (BrokenPipeError, ConnectionResetError):
                    self.ended = True
            else:
                select.select([self._socket], [self._socket], [], SECONDS)
            self.read(0)

    def send_some(self, data: bytes, seconds: float) -> int:
        """Sends without reading, until the server takes no more for so long.

        Returns the bytes that were taken.
        """
        left = memoryview(data)
        while left and select.select([], [self._socket], [], seconds)[1]:
            try:
                left = left[self._socket.send(left) :]
            except (BrokenPipeError, ConnectionResetError):
                break
        return len(data) - len(left)

    def read(self, seconds: float) -> None:
        """Takes what has been received; waits at most `seconds` for the first bytes."""
        while not self.ended and select.select([self._socket], [], [], seconds)[0]:
            try:
                received = self._socket.recv(1 << 20)
            except ConnectionResetError:
                received = b""
            self.ended = not received
            self._received += received
            seconds = 0
        while len(self._received) >= 9:
            size = int.from_bytes(self._received[:3], "big")
            if len(self._received) < 9 + size:
                return
            kind, flags, stream = struct.unpack(">BBI", self._received[3:9])
            self.frames.append(Frame(kind, flags, stream, self._received[9 : 9 + size]))
            self._received = self._received[9 + size :]

    def _read_on(self, until: float, awaited: str) -> None:
        """Takes what is received next. Fails once it is `until` by time.monotonic()."""
        assert not self.ended, f"the connection ended without {awaited}"
        left = until - time.monotonic()
        assert left > 0, f"{awaited} has not come for {SECONDS} s"
        self.read(left)

    def take(self, kind: int, stream: int = 0) -> Frame:
        """Waits for a frame, and forgets it and those before it."""
        until = time.monotonic() + SECONDS
        while True:
            for index, found in enumerate(self.frames):
                if (found.kind, found.stream) == (kind, stream):
                    del self.frames[: index + 1]
                    return found
            self.frames.clear()
            self._read_on(until, f"a frame of kind {kind}")

    def take_end(self, stream: int) -> bytes:
        """Waits for the end of a stream. Returns the header block of its trailers, or b""."""
        until = time.monotonic() + SECONDS
        while True:
            for found in self.frames:
                if found.stream == stream and found.kind == RST_STREAM:
                    return b""
                if found.stream == stream and found.kind == HEADERS and found.flags & END_STREAM:
                    return found.payload
            self._read_on(until, f"the end of stream {stream}")

    def wait_for_end(self) -> None:
        until = time.monotonic() + SECONDS
        while not self.ended:
            self._read_on(until, "the connection's end")

    def goaway(self) -> tuple[int, bytes]:
        """Waits for the end. Returns the code and the text of the server's GOAWAY."""
        self.wait_for_end()
        last = [each for each in self.frames if each.kind == GOAWAY][-1].payload
        return int.from_bytes(last[4:8], "big"), last[8:]
