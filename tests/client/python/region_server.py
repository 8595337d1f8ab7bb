"""A stand-in for the server's shared-memory socket, whose answers a test chooses."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

from lossd.v1 import shared_memory_pb2


class RegionServer:
    """Serves one connection at a time on a thread of its own."""

    def __init__(self, path: str) -> None:
        self.registered: list[shared_memory_pb2.RegisterDeviceMemory] = []
        self.released: list[str] = []
        self.errors: list[tuple[int, str]] = []  # the answers to the next registrations
        self.limit = 1000  # the most regions that are open together
        self.open: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.bind(path)
        self._socket.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def stop(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # raised by stop(), which shuts the socket down
            while True:
                connection, _ = self._socket.accept()
                with connection:
                    while packet := connection.recv(8192):
                        request = shared_memory_pb2.SharedMemoryRequest.FromString(packet)
                        connection.send(self._answer(request).SerializeToString())

    def _answer(
        self, request: shared_memory_pb2.SharedMemoryRequest
    ) -> shared_memory_pb2.SharedMemoryReply:
        if request.HasField("release_region"):
            self.released.append(request.release_region.name)
            self.open.remove(request.release_region.name)
            return shared_memory_pb2.SharedMemoryReply(released=shared_memory_pb2.RegionReleased())
        if self.errors or len(self.open) >= self.limit:
            code, message = self.errors.pop(0) if self.errors else (8, "too many regions")
            return shared_memory_pb2.SharedMemoryReply(
                error=shared_memory_pb2.SharedMemoryError(code=code, message=message)
            )
        memory = request.register_device_memory
        self.registered.append(memory)
        self.open.append(f"region {len(self.registered)}")
        return shared_memory_pb2.SharedMemoryReply(
            region=shared_memory_pb2.Region(name=self.open[-1], byte_size=memory.byte_size)
        )


@contextlib.contextmanager
def region_server(folder: Path) -> Iterator[tuple[str, RegionServer]]:
    """Yields the path of the socket and the server behind it."""
    path = str(folder / "regions")
    server = RegionServer(path)
    try:
        yield path, server
    finally:
        server.stop()
