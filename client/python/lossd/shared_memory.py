"""Memory that a worker and a server on the same host both map."""

from __future__ import annotations

import collections
import contextlib
import errno
import math
import mmap
import os
import socket
import threading
import weakref
from types import TracebackType
from typing import Any, NamedTuple

import grpc
import numpy as np
from numpy.typing import DTypeLike, NDArray

from lossd.errors import LossdError
from lossd.v1 import shared_memory_pb2, tensor_pb2

# Larger than any reply, and longer than any takes.
_PACKET_BYTES = 8192
_TIMEOUT_SECONDS = 60.0

_CODES = {code.value[0]: code for code in grpc.StatusCode}


class _Region(NamedTuple):
    """A region as it lies in this process."""

    name: str
    address: int
    byte_size: int


class SharedMemory:
    """A connection to a server's --shared_memory_socket. Thread-safe.

    Arrays of allocate() are named in a request instead of sent, if the client was given
    this object: lossd.Client(target, shared_memory=memory). So are views of them that are
    C-contiguous, and PyTorch tensors made of them by torch.from_numpy().

    From the start of a call until its end the server reads the arrays and writes
    `gradient_out`: whoever changes them meanwhile gets some loss and some gradient. It may
    still do so for a while after a call that was cancelled or timed out.

    An array's memory lives as long as the array does, or a view of it; that of all arrays
    ends with the process. close() ends the connection when the last array is gone. A process
    that was forked off may use the arrays, and ends none of them.
    """

    def __init__(self, path: str) -> None:
        """Raises OSError if nobody listens at `path`."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()  # a request and its reply belong together
        # Arrays can end anywhere, also while this thread holds the lock: their regions'
        # names wait here until somebody has it.
        self._ended: collections.deque[str] = collections.deque()
        self._regions: dict[str, _Region] = {}
        self._closed = False
        self._process = os.getpid()
        try:
            self._socket.settimeout(_TIMEOUT_SECONDS)
            self._socket.connect(path)
        except OSError:
            self._socket.close()
            raise

    def allocate(self, shape: int | tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """A new array of zeros in shared memory; it begins at a page.

        Takes milliseconds, and longer for more: meant to be kept and used again. Raises
        LossdError beyond the server's limits (RESOURCE_EXHAUSTED) and without a server
        (UNAVAILABLE); ValueError for a negative dimension.
        """
        kind = np.dtype(dtype)
        dimensions = shape if isinstance(shape, tuple) else (shape,)
        if min(dimensions, default=0) < 0:
            raise ValueError(f"shape: {shape} has a dimension below 0")
        count = math.prod(dimensions)
        request = shared_memory_pb2.SharedMemoryRequest(
            register_region=shared_memory_pb2.RegisterRegion(
                byte_size=max(1, count * kind.itemsize)
            )
        )
        with self._lock:
            if self._closed or os.getpid() != self._process:
                raise ValueError("the shared memory is closed, or another process's")
            reply, files = self._ask(request)
        region = reply.region
        try:
            memory = mmap.mmap(files[0], region.byte_size)
        except OSError:
            self._ended.append(region.name)
            raise
        finally:
            for file in files:
                os.close(file)
        address = np.frombuffer(memory, np.uint8).__array_interface__["data"][0]
        self._regions[region.name] = _Region(region.name, address, region.byte_size)
        weakref.finalize(memory, self._forget, region.name).atexit = False
        self._release_ended()
        return np.frombuffer(memory, kind, count).reshape(shape)

    def reference(self, array: NDArray[Any]) -> tensor_pb2.SharedMemoryRef | None:
        """Where in shared memory the elements lie; None if they do not, or not in a row."""
        if not array.flags.c_contiguous:
            return None
        address = array.__array_interface__["data"][0]
        for region in list(self._regions.values()):
            offset = address - region.address
            if offset >= 0 and offset + array.nbytes <= region.byte_size:
                return tensor_pb2.SharedMemoryRef(
                    region=region.name, offset=offset, byte_size=array.nbytes
                )
        return None

    def close(self) -> None:
        """Allocates no more; ends the connection once no array is left. May be called again."""
        self._closed = True
        self._release_ended()

    def __enter__(self) -> SharedMemory:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _forget(self, name: str) -> None:
        """The last array of a region is gone. Runs wherever it went."""
        self._regions.pop(name, None)
        self._ended.append(name)
        self._release_ended()

    def _release_ended(self) -> None:
        """Gives back what has ended, unless somebody is asking: they do it after."""
        if os.getpid() != self._process:
            return
        while self._ended or (self._closed and not self._regions):
            if not self._lock.acquire(blocking=False):
                return
            try:
                if not self._ended:
                    self._socket.close()
                    return
                name = self._ended.popleft()
                self._ask(
                    shared_memory_pb2.SharedMemoryRequest(
                        release_region=shared_memory_pb2.ReleaseRegion(name=name)
                    )
                )
            except LossdError:
                pass  # a server that is gone has released it
            finally:
                self._lock.release()

    def _ask(
        self, request: shared_memory_pb2.SharedMemoryRequest
    ) -> tuple[shared_memory_pb2.SharedMemoryReply, list[int]]:
        """The reply, and the descriptors that came with it. The lock is held."""
        try:
            self._send(request.SerializeToString())
            packet, files = self._receive()
        except OSError as error:
            raise LossdError(
                grpc.StatusCode.UNAVAILABLE, f"shared memory: {error}", None
            ) from error
        reply = shared_memory_pb2.SharedMemoryReply.FromString(packet)
        if reply.HasField("error"):
            code = _CODES.get(reply.error.code, grpc.StatusCode.UNKNOWN)
            raise LossdError(code, reply.error.message, None)
        return reply, files

    def _send(self, packet: bytes) -> None:
        # A server that has closed may have said why: a reply is looked for.
        with contextlib.suppress(BrokenPipeError):
            self._socket.send(packet)

    def _receive(self) -> tuple[bytes, list[int]]:
        try:
            packet, files, _, _ = socket.recv_fds(self._socket, _PACKET_BYTES, 1)
        except ConnectionResetError:  # once; what was said before is still there
            packet, files, _, _ = socket.recv_fds(self._socket, _PACKET_BYTES, 1)
        if not packet:
            raise OSError(errno.EPIPE, "the server has closed")
        return packet, files
