"""Memory that a worker and a server on the same host share."""

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
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import grpc
import numpy as np
from numpy.typing import DTypeLike, NDArray

from lossd import arguments
from lossd.device_array import DeviceArray
from lossd.device_memory import DeviceRegions, LentAllocation
from lossd.encoding import Reference
from lossd.errors import LossdError
from lossd.v1 import shared_memory_pb2

_PACKET_BYTES = 8192  # larger than any reply
_TIMEOUT_SECONDS = 60.0  # longer than any reply takes

_CODES = {code.value[0]: code for code in grpc.StatusCode}


class _Region(NamedTuple):
    """The place of a region in this process."""

    name: str
    address: int
    byte_size: int


class SharedMemory:
    """A connection to a server's --shared_memory_socket. Thread-safe.

    A client with this object, lossd.Client(target, shared_memory=memory), passes the following
    by reference instead of sending them:

    - Arrays of allocate(), their C-contiguous views, and PyTorch tensors that
      torch.from_numpy() makes of either.
    - Tensors on a GPU that the server uses too: PyTorch's, and arrays with the CUDA array
      interface, such as those of CuPy and Numba.

    The first tensor in an allocation of cudaMalloc() lends the whole allocation to the server,
    which keeps it mapped until close() or release_device_memory(). Before a call, the client
    waits for the caller's current stream; without PyTorch, it waits for all work of the GPU's
    context.

    From the start of a call until its end, the server reads the tensors and writes
    `gradient_out` and `second_derivative_out`. If they are changed meanwhile, the call returns some
    loss and some derivatives, or an error that names an element. After a call that was cancelled
    or timed out, the server may go on for a while; such a place on a GPU then stays allocated for
    60 seconds.

    The memory of an array lives until the array and all its views are gone, or until the
    process ends. close() ends the connection once the last array is gone. A forked process may
    use the arrays but not release them. Pickle keeps the path alone: the copy is a connection of
    its own, and arrays that are pickled become ordinary ones.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Connects to the socket at `path`; OSError if no server listens there."""
        where = arguments.text("path", os.fspath(path) if isinstance(path, os.PathLike) else path)
        self._path = where
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()  # held from a request until its reply
        # The names of regions to release. An array can be finalized anywhere, even while this
        # thread holds the lock, so the release waits for a moment at which the lock is free.
        self._ended: collections.deque[str] = collections.deque()
        self._regions: dict[str, _Region] = {}
        self._closed = False
        self._process = os.getpid()
        self._lent = DeviceRegions(self._register_device_memory, self._release)
        try:
            self._socket.settimeout(_TIMEOUT_SECONDS)
            self._socket.connect(where)
        except OSError as error:
            self._socket.close()
            # Python's own error for a path that is too long has no errno.
            number, text = error.errno or errno.ENAMETOOLONG, error.strerror or str(error)
            raise OSError(number, text, where) from error

    def allocate(self, shape: int | Sequence[int], dtype: DTypeLike) -> NDArray[Any]:
        """Returns a new array of zeros in shared memory, which begins at a page.

        An allocation takes milliseconds, and longer the larger it is, so allocate once and use
        the array in many calls. Raises LossdError with RESOURCE_EXHAUSTED beyond the server's
        limits and UNAVAILABLE without a server; ValueError or TypeError, which name a shape or
        a dtype that no array of numbers has.
        """
        kind = arguments.numbers("dtype", dtype)
        dimensions = arguments.shape("shape", shape)
        count = math.prod(dimensions)
        byte_size = max(1, arguments.integer("shape", count * kind.itemsize))
        request = shared_memory_pb2.SharedMemoryRequest(
            register_region=shared_memory_pb2.RegisterRegion(byte_size=byte_size)
        )
        region, files = self._register(request)
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
        return np.frombuffer(memory, kind, count).reshape(dimensions)

    def _reference(self, array: NDArray[Any]) -> Reference | None:
        """Returns the place of an array in shared memory.

        Returns None if the array lies elsewhere or is not C-contiguous.
        """
        if not self._regions or not array.flags.c_contiguous:
            return None
        return self._reference_at(array.__array_interface__["data"][0], array.nbytes)

    def _reference_at(self, address: int, byte_size: int) -> Reference | None:
        """Returns the place of so many bytes from `address` on, or None if they lie elsewhere."""
        for name, start, size in list(self._regions.values()):
            offset = address - start
            if offset >= 0 and offset + byte_size <= size:
                return Reference(name, offset, byte_size)
        return None

    def _lend(self, name: str, array: DeviceArray) -> LentAllocation:
        """Returns the allocation in which a tensor on a GPU lies, and lends it if necessary.

        Raises ValueError or LossdError, which name `name`, if the server cannot use it.
        """
        self._check_open()
        return self._lent.lend(name, array)

    def _keep_for_a_while(self, tensor: Any) -> None:
        """Keeps a tensor on a GPU, to which the server may still write, for 60 seconds."""
        self._lent.keep_for_a_while(tensor)

    def release_device_memory(self) -> None:
        """Takes all GPU memory back from the server; a tensor that is used again is lent again.

        CUDA leaves undefined what happens if memory is freed while the server maps it. Call
        this method before torch.cuda.empty_cache() or anything else that frees such memory, at
        a time when no call is under way.
        """
        self._lent.clear()

    def close(self) -> None:
        """Takes all GPU memory back, and ends the connection once no array is left.

        Afterwards nothing can be allocated or lent. Later calls of close() do nothing more.
        """
        self._closed = True
        self._lent.clear()
        self._release_ended()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[type[SharedMemory], tuple[str]]:
        return type(self), (self._path,)

    def _check_open(self) -> None:
        if self._closed or os.getpid() != self._process:
            raise ValueError("the shared memory is closed, or another process's")

    def _register(
        self, request: shared_memory_pb2.SharedMemoryRequest
    ) -> tuple[shared_memory_pb2.Region, list[int]]:
        with self._lock:
            self._check_open()
            reply, files = self._ask(request)
        return reply.region, files

    def _register_device_memory(self, memory: shared_memory_pb2.RegisterDeviceMemory) -> str:
        request = shared_memory_pb2.SharedMemoryRequest(register_device_memory=memory)
        region, _ = self._register(request)
        self._release_ended()
        return region.name

    def _release(self, names: list[str]) -> None:
        self._ended.extend(names)
        self._release_ended()

    def _forget(self, name: str) -> None:
        """Releases a region whose last array is gone; any thread may run this at any time."""
        self._regions.pop(name, None)
        self._release([name])

    def _release_ended(self) -> None:
        """Releases the regions in _ended, and closes the socket if nothing is left.

        Returns at once if another thread holds the lock: that thread runs this afterwards.
        """
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
                pass  # a server that is gone has released its regions
            finally:
                self._lock.release()

    def _ask(
        self, request: shared_memory_pb2.SharedMemoryRequest
    ) -> tuple[shared_memory_pb2.SharedMemoryReply, list[int]]:
        """Returns the reply and the file descriptors that came with it.

        The caller holds the lock. Raises LossdError.
        """
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
        # A server that has closed the connection may have sent an error before, which is read.
        with contextlib.suppress(BrokenPipeError):
            self._socket.send(packet)

    def _receive(self) -> tuple[bytes, list[int]]:
        try:
            packet, files, _, _ = socket.recv_fds(self._socket, _PACKET_BYTES, 1)
        except ConnectionResetError:  # reported once; a reply from before can still be read
            packet, files, _, _ = socket.recv_fds(self._socket, _PACKET_BYTES, 1)
        if not packet:
            raise OSError(errno.EPIPE, "the server has closed")
        return packet, files


def checked(name: str, value: Any) -> SharedMemory | None:
    """Returns `value` if it is a SharedMemory or None; otherwise TypeError, which names `name`."""
    if value is None or isinstance(value, SharedMemory):
        return value
    hint = f"; give lossd.SharedMemory({value!r})" if isinstance(value, str) else ""
    raise TypeError(f"{name}: {value!r} is no SharedMemory{hint}")
