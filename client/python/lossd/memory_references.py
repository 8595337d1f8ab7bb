"""The tensors of one call that are named instead of sent."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import grpc
from numpy.typing import NDArray

from lossd import cuda_driver
from lossd.device_array import DeviceArray, not_lent
from lossd.errors import LossdError
from lossd.shared_memory import SharedMemory
from lossd.v1 import tensor_pb2

# The server need not have been done when the client saw these.
_UNANSWERED = (
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.UNAVAILABLE,
)


class MemoryReferences:
    """Names them, and waits for the work that makes them. Of one call and one thread."""

    def __init__(self, memory: SharedMemory | None) -> None:
        """None: everything is sent."""
        self._memory = memory
        self._device: tuple[str, int] | None = None  # the first argument on a GPU, and which
        self._waits: dict[str | int, Callable[[], None]] = {}

    @property
    def names_device_memory(self) -> bool:
        """Whether anything on a GPU has been named: then wait() before the call."""
        return self._device is not None

    @property
    def enabled(self) -> bool:
        """Whether anything can be named."""
        return self._memory is not None

    def reference(self, array: NDArray[Any]) -> tensor_pb2.SharedMemoryRef | None:
        """Where in shared memory an array of the host lies; None if it does not."""
        return None if self._memory is None else self._memory.reference(array)

    def device_reference(self, name: str, array: DeviceArray) -> tensor_pb2.SharedMemoryRef:
        """Where on a GPU the tensor lies. TypeError, ValueError and LossdError name `name`."""
        if self._memory is None:
            raise not_lent(name, array)
        if not array.contiguous:
            raise ValueError(
                f"{name}: on {array.device}, and not C-contiguous; give a contiguous copy"
            )
        lent = self._memory.lend(name, array)
        first, device = self._device or (name, lent.device)
        if device != lent.device:
            raise ValueError(
                f"{name}: on GPU {lent.device}, and {first} on GPU {device}; "
                "all that one call names are on one"
            )
        self._device = (first, device)
        self._add_wait(array)
        return tensor_pb2.SharedMemoryRef(
            region=lent.region, offset=array.address - lent.base, byte_size=array.byte_size
        )

    def synchronize(self) -> None:
        """Until the GPU has done what the caller asked of it before the call: kernels of two
        processes do not wait for each other.
        """
        for wait in self._waits.values():
            wait()

    @contextlib.contextmanager
    def until_answered(self, out: Any) -> Iterator[None]:
        """Around the call. One that ends without an answer may still be computed, and its
        gradient written to `out`: on a GPU that stays allocated meanwhile.
        """
        try:
            yield
        except LossdError as error:
            if error.code in _UNANSWERED:
                self._keep(out)
            raise
        except BaseException:  # the caller's task was cancelled, say
            self._keep(out)
            raise

    def _keep(self, out: Any) -> None:
        if self._memory is not None and self.names_device_memory and out is not None:
            self._memory.keep_for_a_while(out)

    def _add_wait(self, array: DeviceArray) -> None:
        if array.synchronize is not None:
            self._waits[array.device] = array.synchronize  # of the thread's current stream
        else:
            driver, address = cuda_driver.load(), array.address
            self._waits[address] = lambda: driver.synchronize(address)
