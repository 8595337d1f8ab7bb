"""Allocations on this process's GPUs that a server has been lent."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple

import grpc

from lossd import cuda_driver
from lossd.device_array import DeviceArray
from lossd.errors import LossdError
from lossd.v1 import shared_memory_pb2

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
            lent = self._lent.pop(number, None)
            if lent is None:
                self._give_back_freed(driver)
                lent = self._lend(driver, name, array)
            self._lent[number] = lent
        return lent

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
