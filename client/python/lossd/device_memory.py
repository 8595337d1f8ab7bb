"""The GPU allocations of this process that are lent to a server."""

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

# The server ends any request that it has begun much sooner.
_KEPT_SECONDS = 60.0

# cuda.h: cuIpcGetMemHandle() takes memory of cuMemAlloc(), which cudaMalloc() calls.
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


class LentAllocation(NamedTuple):
    """An allocation that the server has mapped, as a region of its own."""

    region: str
    device: int  # the driver's ordinal
    base: int
    byte_size: int


class DeviceRegions:
    """Lends whole allocations to the server, each of them once. Thread-safe.

    Libraries cut their tensors from a few large allocations, so a process lends few of them.
    The key of an allocation is the driver's number of it, which the driver never uses again: a
    new allocation at an old address is a different one.

    Nothing reports that an allocation is freed. Regions of freed allocations are released when
    the next allocation is lent. At the server's limit of regions, the region that has been
    unused for longest is released.
    """

    def __init__(
        self,
        register: Callable[[shared_memory_pb2.RegisterDeviceMemory], str],
        release: Callable[[list[str]], None],
    ) -> None:
        """`register` asks the server for a region and returns its name, or raises LossdError.
        `release` gives regions back and never fails.
        """
        self._register = register
        self._release = release
        self._lock = threading.Lock()  # also keeps two threads from lending one allocation
        # The key is the driver's number of an allocation. The order is that of last use.
        self._lent: dict[int, LentAllocation] = {}
        # Tensors that are kept allocated, each with the end of its time, in rising order.
        self._kept: list[tuple[float, Any]] = []

    def lend(self, name: str, array: DeviceArray) -> LentAllocation:
        """Returns the region of the allocation in which `array` lies.

        Raises ValueError if no other process can open the allocation, LossdError if this
        server cannot; both name `name`.
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
        """Keeps a tensor to which the server may still write allocated for 60 seconds.

        Without the reference its library would give the memory to another tensor. Expired
        references are dropped by the next call of lend() or keep_for_a_while().
        """
        with self._lock:
            self._drop_kept()
            self._kept.append((time.monotonic() + _KEPT_SECONDS, tensor))

    def _drop_kept(self) -> None:
        now = time.monotonic()
        self._kept = [(until, tensor) for until, tensor in self._kept if until > now]

    def clear(self) -> None:
        """Gives all regions back to the server."""
        with self._lock:
            ended = [lent.region for lent in self._lent.values()]
            self._lent = {}
        self._release(ended)

    def _lend(self, driver: cuda_driver.Driver, name: str, array: DeviceArray) -> LentAllocation:
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
        return LentAllocation(region, allocation.device, allocation.base, allocation.byte_size)

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
        """Releases the regions whose allocations have been freed."""
        freed = [
            number for number, lent in self._lent.items() if not _is_allocated(driver, number, lent)
        ]
        self._release([self._lent.pop(number).region for number in freed])


def _is_allocated(driver: cuda_driver.Driver, number: int, lent: LentAllocation) -> bool:
    try:
        return driver.buffer_id(lent.base) == number
    except cuda_driver.DriverError:
        return False  # no allocation is at this address any more
