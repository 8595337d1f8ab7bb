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
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import grpc
import numpy as np
from numpy.typing import DTypeLike, NDArray

from lossd import arguments
from lossd.device_array import DeviceArray
from lossd.device_memory import DeviceRegions, Lent
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

    So are tensors on a GPU that the server uses too: PyTorch's, and arrays with the CUDA array
    interface (CuPy, Numba). The first that lies in an allocation of cudaMalloc() lends that
    allocation, whole, to the server, which keeps it mapped until close() or
    release_device_memory(). Before a call the caller's current stream is waited for (without
    PyTorch: all work of the GPU's context).

    From the start of a call until its end the server reads the arrays and writes
    `gradient_out`: whoever changes them meanwhile gets some loss and some gradient. It may
    still do so for a while after a call that was cancelled or timed out; a gradient on a GPU
    is kept for a minute then, so that its memory becomes no other tensor's.

    An array's memory lives as long as the array does, or a view of it; that of all arrays
    ends with the process. close() ends the connection when the last array is gone. A process
    that was forked off may use the arrays, and ends none of them.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Raises OSError if nobody listens at `path`."""
        where = arguments.text("path", os.fspath(path) if isinstance(path, os.PathLike) else path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()  # a request and its reply belong together
        # Arrays can end anywhere, also while this thread holds the lock: their regions'
        # names wait here until somebody has it.
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
            # Python says "path too long" without a number.
            number, text = error.errno or errno.ENAMETOOLONG, error.strerror or str(error)
            raise OSError(number, text, where) from error

    def allocate(self, shape: int | Sequence[int], dtype: DTypeLike) -> NDArray[Any]:
        """A new array of zeros in shared memory; it begins at a page.

        Takes milliseconds, and longer for more: meant to be kept and used again. Raises
        LossdError beyond the server's limits (RESOURCE_EXHAUSTED) and without a server
        (UNAVAILABLE); ValueError and TypeError for a shape or a dtype that no array of numbers
        has.
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

    def lend(self, name: str, array: DeviceArray) -> Lent:
        """The region of the allocation in which a tensor on a GPU lies.

        ValueError and LossdError, naming `name`, if the server cannot have it.
        """
        self._check_open()
        return self._lent.lend(name, array)

    def keep_for_a_while(self, tensor: Any) -> None:
        """Keeps the memory of a tensor on a GPU, where the server may still write, from being
        used for something else.
        """
        self._lent.keep_for_a_while(tensor)

    def release_device_memory(self) -> None:
        """Takes all memory of GPUs back from the server; what is used again is lent again.

        Memory that the server maps must not be freed (CUDA leaves undefined what happens then):
        call this before torch.cuda.empty_cache(), or whatever else frees it, with no call
        under way.
        """
        self._lent.clear()

    def close(self) -> None:
        """Allocates and lends no more; takes the memory of GPUs back, and ends the connection
        once no array is left. May be called again.
        """
        self._closed = True
        self._lent.clear()
        self._release_ended()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

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
        """The last array of a region is gone. Runs wherever it went."""
        self._regions.pop(name, None)
        self._release([name])

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


def checked(name: str, value: Any) -> SharedMemory | None:
    """What a client was given as `name`."""
    if value is None or isinstance(value, SharedMemory):
        return value
    hint = f"; give lossd.SharedMemory({value!r})" if isinstance(value, str) else ""
    raise TypeError(f"{name}: {value!r} is no SharedMemory{hint}")
