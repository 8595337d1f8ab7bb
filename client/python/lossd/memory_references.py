"""The tensors of one call that are passed by reference."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import grpc
from numpy.typing import NDArray

from lossd import cuda_driver
from lossd.device_array import DeviceArray, not_lent
from lossd.encoding import Reference
from lossd.errors import LossdError
from lossd.shared_memory import SharedMemory

# After these codes the server may still be computing.
UNANSWERED = (
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.UNAVAILABLE,
)


class MemoryReferences:
    """Makes the references of one call, and waits for the GPU work that their tensors need.

    Not thread-safe: one thread prepares a call. synchronize() may run on another thread
    afterwards.
    """

    def __init__(self, memory: SharedMemory | None) -> None:
        """Without `memory`, every tensor has to be sent."""
        self._memory = memory
        self._device: tuple[str, int] | None = None  # the first argument on a GPU, its ordinal
        self._waits: dict[str | int, Callable[[], None]] = {}

    @property
    def names_device_memory(self) -> bool:
        """Whether a tensor on a GPU is passed by reference; then synchronize() has to run
        before the call.
        """
        return self._device is not None

    @property
    def enabled(self) -> bool:
        """Whether tensors can be passed by reference at all."""
        return self._memory is not None

    def reference(self, array: NDArray[Any]) -> Reference | None:
        """Returns the place of a host array in shared memory, or None if it lies elsewhere."""
        return None if self._memory is None else self._memory._reference(array)

    def device_reference(self, name: str, array: DeviceArray) -> Reference:
        """Returns the place of a tensor on a GPU.

        Raises TypeError, ValueError or LossdError, which name `name`, if the server cannot use
        the tensor there.
        """
        if self._memory is None:
            raise not_lent(name, array)
        if not array.contiguous:
            raise ValueError(
                f"{name}: on {array.device}, and not C-contiguous; give a contiguous copy"
            )
        lent = self._memory._lend(name, array)
        first, device = self._device or (name, lent.device)
        if device != lent.device:
            raise ValueError(
                f"{name}: on GPU {lent.device}, and {first} on GPU {device}; "
                "all tensors of one call that lie on a GPU must lie on the same one"
            )
        self._device = (first, device)
        self._add_wait(array)
        return Reference(lent.region, array.address - lent.base, array.byte_size)

    def synchronize(self) -> None:
        """Waits until the GPU has finished the work that the caller queued before the call.

        CUDA does not order kernels of two processes, so the server's must not start earlier.
        """
        for wait in self._waits.values():
            wait()

    @contextlib.contextmanager
    def until_answered(self, *outs: Any) -> Iterator[None]:
        """Encloses the call whose derivatives go to `outs`; None is no place.

        If the call ends without an answer, the server may still write the derivatives. Memory of
        `outs` on a GPU therefore stays allocated for a while.
        """
        try:
            yield
        except LossdError as error:
            if error.code in UNANSWERED:
                self.keep_for_a_while(*outs)
            raise
        except BaseException:  # for example the cancellation of the caller's task
            self.keep_for_a_while(*outs)
            raise

    def keep_for_a_while(self, *outs: Any) -> None:
        """Keeps memory of `outs` on a GPU allocated, to which the server may still write."""
        if self._memory is None or not self.names_device_memory:
            return
        for out in outs:
            if out is not None:
                self._memory._keep_for_a_while(out)

    def _add_wait(self, array: DeviceArray) -> None:
        if array.synchronize is not None:
            self._waits[array.device] = array.synchronize
        else:
            driver, address = cuda_driver.load(), array.address
            self._waits[address] = lambda: driver.synchronize(address)
