"""Has clients leave in the middle of calls in every way there is, and looks for what stays."""

from __future__ import annotations

import os
import signal
import socket
import struct
from collections.abc import Callable, Iterator
from importlib.metadata import version

import grpc
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, StreamEnded, StreamReset

from soak import message
from soak.row import Row, judged
from soak.server import PATIENCE, Server, Setting, running, wait_until

TIMES = 200  # for each of five ways to leave
ELEMENTS = 100_000  # 800 kB of request
# A request of 40 kB fits into HTTP/2's first window of 64 KiB, so nothing need be read to send it.
RAW_ELEMENTS = 5_000
WARM_CALLS = 50
ALLOWED = 64 << 20  # bytes of memory more than before
IDLE = 90.0  # seconds after which memory must have gone back


def rows(setting: Setting) -> Iterator[Row]:
    times = setting.times(TIMES)
    server = Server(setting)
    with running(server):
        call_in_order(server)
        memory, descriptors = server.resident_bytes(), server.descriptors()
        for name, (counterpart, leave) in LEAVING.items():
            for turn in range(times):
                leave(server.address, turn)
            yield permits_back(server, name, counterpart, times)
        yield all_back(server, memory, descriptors, times * len(LEAVING))


def call_in_order(server: Server) -> None:
    """Makes calls that end well, so that buffers are there before memory is compared."""
    with grpc.insecure_channel(server.address) as channel:
        call = channel.unary_unary(message.COMPUTE)
        for _ in range(WARM_CALLS):
            call(message.large_request(ELEMENTS), timeout=PATIENCE)


def permits_back(server: Server, name: str, counterpart: str, times: int) -> Row:
    held = {"lossd_inflight_requests": 0.0, "lossd_inflight_bytes": 0.0}

    def free() -> bool:
        held.update({metric: server.total(metric) for metric in held})
        return not any(held.values())

    waited = wait_until(free)
    return judged(
        "cancel",
        name,
        counterpart,
        times=times,
        lost=int(held["lossd_inflight_requests"]),
        seen=f"nothing in flight after {waited:.2f} s",
        broken="" if server.alive() and not held["lossd_inflight_bytes"] else f"still held: {held}",
    )


def all_back(server: Server, memory: int, descriptors: int, times: int) -> Row:
    call_in_order(server)
    wait_until(lambda: server.descriptors() <= descriptors)
    wait_until(lambda: server.resident_bytes() <= memory + ALLOWED, IDLE)
    more = server.resident_bytes() - memory
    left = max(server.descriptors() - descriptors, 0)
    return judged(
        "cancel",
        "after all of them: descriptors, memory, and a call",
        "/proc",
        times=times,
        lost=left,
        seen=f"{descriptors} descriptors before and {descriptors + left} after; "
        f"{memory >> 20} MiB before, {more >> 20:+d} MiB",
        broken="" if more <= ALLOWED else "memory stayed",
    )


def cancels(address: str, turn: int) -> None:
    """Cancels a unary call or a stream with grpcio, at another moment each time."""
    with grpc.insecure_channel(address) as channel:
        if turn % 2:
            call = channel.unary_unary(message.COMPUTE).future(message.large_request(ELEMENTS))
        else:
            header = message.stream_header(ELEMENTS)
            call = channel.stream_stream(message.STREAM)(iter([header]))
        # The turns spread from before the request is sent to after it is answered.
        wait_until(call.done, turn % 10 / 200)
        call.cancel()


class Raw:
    """An HTTP/2 connection with one ComputeLoss call that is sent as far as the caller likes."""

    def __init__(self, address: str) -> None:
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), PATIENCE)
        self.http = H2Connection(H2Configuration(client_side=True))
        self.http.initiate_connection()
        self.http.send_headers(
            1,
            [
                (":method", "POST"),
                (":scheme", "http"),
                (":path", message.COMPUTE),
                (":authority", address),
                ("content-type", "application/grpc"),
                ("te", "trailers"),
            ],
        )
        request = message.large_request(RAW_ELEMENTS)
        self._request = struct.pack(">BI", 0, len(request)) + request

    def send_tenths(self, tenths: int) -> None:
        """Sends a part of the request; with all ten, the call is complete."""
        part = self._request[: len(self._request) * tenths // 10]
        size = self.http.max_outbound_frame_size
        for begin in range(0, len(part), size):
            self.http.send_data(1, part[begin : begin + size])
        if tenths == 10:
            self.http.end_stream(1)
        self.flush()

    def flush(self) -> None:
        self.socket.sendall(self.http.data_to_send())

    def read_to_the_end(self) -> None:
        """Reads until the call has ended, in whatever way."""
        while data := self.socket.recv(1 << 16):
            for event in self.http.receive_data(data):
                if isinstance(event, (StreamEnded, StreamReset, ConnectionTerminated)):
                    return


def resets_stream(address: str, turn: int) -> None:
    """Sends part of a request and RST_STREAM, then closes the connection in order."""
    raw = Raw(address)
    raw.send_tenths(turn % 10)
    raw.http.reset_stream(1, ErrorCodes.CANCEL)
    raw.flush()
    raw.socket.close()


def resets_connection(address: str, turn: int) -> None:
    """Sends part of a request, or all of it, and RST on TCP."""
    raw = Raw(address)
    raw.send_tenths(turn % 11)
    raw.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raw.socket.close()


def half_closes(address: str, turn: int) -> None:
    """Ends the stream in the middle of a message, half-closes TCP, and reads what comes."""
    raw = Raw(address)
    raw.send_tenths(turn % 10)
    raw.http.end_stream(1)
    raw.flush()
    raw.socket.shutdown(socket.SHUT_WR)
    raw.read_to_the_end()
    raw.socket.close()


def vanishes(address: str, turn: int) -> None:
    """Stops a process in the middle of a call, then kills it; the server hears only of its end."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        raw = Raw(address)
        raw.send_tenths(turn % 11)
        os.write(writer, b"x")
        signal.pause()
        os._exit(0)
    os.read(reader, 1)
    os.kill(child, signal.SIGSTOP)
    os.waitpid(child, os.WUNTRACED)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(reader)
    os.close(writer)


GRPCIO, H2 = f"grpcio {grpc.__version__}", f"h2 {version('h2')}"
LEAVING: dict[str, tuple[str, Callable[[str, int], None]]] = {
    "calls and streams cancelled": (GRPCIO, cancels),
    "RST_STREAM in the middle of a request": (H2, resets_stream),
    "TCP reset in the middle of a request": (H2, resets_connection),
    "half-close in the middle of a message": (H2, half_closes),
    "client stopped and killed in the middle of a request": (H2, vanishes),
}
