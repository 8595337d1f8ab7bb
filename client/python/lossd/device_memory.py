"""Allocations on this process's GPUs that a server has been lent."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import grpc

from lossd import cuda_driver
from lossd.device_array import DeviceArray
from lossd.errors import LossdError
from lossd.v1 import shared_memory_pb2

# Far longer than the server takes to end what it has begun.
_KEPT_SECONDS = 60.0

# cuIpcGetMemHandle() is for memory of cuMemAlloc() (cuda.h), so of cudaMalloc().
_NO_HANDLE = (
    "no other process can open this memory: it must be an allocation of cudaMalloc() made in "
    "this process. PyTorch has it so unless PYTORCH_CUDA_ALLOC_CONF (or PYTORCH_ALLOC_CONF) "
    "sets expandable_segments:True or backend:cudaMallocAsync; CuPy, unless its allocator is "
    "a MemoryAsyncPool or of managed memory"
)

_ADVICE = {
    grpc.StatusCode.UNIMPLEMENTED: "give an array in the host's memory instead",
    grpc.StatusCode.NOT_FOUND: "use a GPU of the server's, or give an array in the host's memory",
}


class Lent(NamedTuple):
    """A region that is the whole of one allocation."""

    region: str
    device: int  # the driver's ordinal
    base: int
    byte_size: int


class DeviceRegions:
    """Lends each allocation once, whole, for as long as it is there. Thread-safe.

    Libraries cut their tensors from large allocations and keep those, so that few are lent
    in a process's life. One is known by the number that the driver gave it, which no later
    one has, so that a new allocation at an old address is not taken for the old one. That
    one is given back when the next is lent: nobody tells when memory is freed. At the
    server's limit of regions the one that has not been used for longest makes room.
    """

    def __init__(
        self,
        register: Callable[[shared_memory_pb2.RegisterDeviceMemory], str],
        release: Callable[[list[str]], None],
    ) -> None:
        """`register` asks the server and returns the region's name; `release` gives regions
        back, and does not fail.
        """
        self._register = register
        self._release = release
        self._lock = threading.Lock()  # one allocation is not lent twice
        # By the driver's number of the allocation; what was used last is last.
        self._lent: dict[int, Lent] = {}
        self._kept: list[tuple[float, Any]] = []  # until when, rising, and a tensor

    def lend(self, name: str, array: DeviceArray) -> Lent:
        """The region of the array's allocation.

        ValueError, naming `name`, if other processes cannot have it, LossdError if this
        server cannot.
        """
        try:
            driver = cuda_driver.load()
            number = driver.buffer_id(array.address)
        except (OSError, cuda_driver.DriverError) as error:
            raise ValueError(f"{name}: on {array.device}; its driver: {error}") from error
        with self._lock:
            self._drop_kept()
            lent = self._lent.pop(number, None)
            if lent is None:
                self._give_back_freed(driver)
                lent = self._lend(driver, name, array)
            self._lent[number] = lent
        return lent

    def keep_for_a_while(self, tensor: Any) -> None:
        """A reference to it: its library would give its memory to another tensor, which the
        server would then write to. Dropped when more is lent after that while.
        """
        with self._lock:
            self._drop_kept()
            self._kept.append((time.monotonic() + _KEPT_SECONDS, tensor))

    def _drop_kept(self) -> None:
        now = time.monotonic()
        self._kept = [(until, tensor) for until, tensor in self._kept if until > now]

    def clear(self) -> None:
        """Gives everything back."""
        with self._lock:
            ended = [lent.region for lent in self._lent.values()]
            self._lent = {}
        self._release(ended)

    def _lend(self, driver: cuda_driver.Driver, name: str, array: DeviceArray) -> Lent:
        try:
            allocation = driver.allocation(array.address)
        except cuda_driver.DriverError as error:
            raise ValueError(f"{name}: on {array.device}: {error}: {_NO_HANDLE}") from error
        request = shared_memory_pb2.RegisterDeviceMemory(
            device_uuid=allocation.uuid,
            ipc_handle=allocation.handle,
            byte_size=allocation.byte_size,
        )
        try:
            region = self._register_making_room(request)
        except LossdError as error:
            advice = f" ({_ADVICE[error.code]})" if error.code in _ADVICE else ""
            message = f"{name}: on {array.device}: {error.message}{advice}"
            raise LossdError(error.code, message, error.retry_after) from error
        return Lent(region, allocation.device, allocation.base, allocation.byte_size)

    def _register_making_room(self, request: shared_memory_pb2.RegisterDeviceMemory) -> str:
        while True:
            try:
                return self._register(request)
            except LossdError as error:
                if error.code != grpc.StatusCode.RESOURCE_EXHAUSTED or not self._lent:
                    raise
            oldest = next(iter(self._lent))
            self._release([self._lent.pop(oldest).region])

    def _give_back_freed(self, driver: cuda_driver.Driver) -> None:
        """Of what is lent, the allocations that are no more."""
        freed = [number for number, lent in self._lent.items() if not _is(driver, number, lent)]
        self._release([self._lent.pop(number).region for number in freed])


def _is(driver: cuda_driver.Driver, number: int, lent: Lent) -> bool:
    try:
        return driver.buffer_id(lent.base) == number
    except cuda_driver.DriverError:
        return False  # nothing is there any more
