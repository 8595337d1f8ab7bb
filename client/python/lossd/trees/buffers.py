"""Arrays that the calls of a loss use again."""

from __future__ import annotations

import math
import os
import sys
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossd.errors import LossdError
from lossd.shared_memory import SharedMemory


def _references(blocks: dict[str, NDArray[np.uint8]], name: str) -> int:
    """Returns how many references to a block there are; its parts have one each."""
    return sys.getrefcount(blocks[name])


# The references to a block without parts, which versions of Python count in different ways.
_ALONE = _references({"": np.empty(1, np.uint8)}, "")


class Buffers(threading.local):
    """Blocks of memory, for each thread and process its own.

    They lie in shared memory if there is some, so that the server reads and writes them itself. A
    block is used again when nobody has an array of it any more.
    """

    def __init__(self, memory: SharedMemory | None) -> None:
        self._memory = memory
        self._process = os.getpid()
        self._blocks: dict[str, NDArray[np.uint8]] = {}
        self._late: dict[str, NDArray[np.uint8]] = {}

    def array(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Returns an array of any contents in the block of this name."""
        if os.getpid() != self._process:  # these blocks may be the parent's too
            self._memory, self._process, self._blocks = None, os.getpid(), {}
        byte_size = math.prod(shape) * dtype.itemsize
        blocks = self._blocks
        if (
            name not in blocks
            or blocks[name].nbytes < byte_size
            or _references(blocks, name) > _ALONE
        ):
            blocks[name] = self._new_block(byte_size)
        return blocks[name][:byte_size].view(dtype).reshape(shape)

    def share_no_more(self) -> None:
        """Makes the next arrays lie in ordinary memory, after a call without an answer.

        The server may still write to the blocks. They are kept, because it might not answer to
        their release either.
        """
        if self._memory is not None:
            self._late, self._memory, self._blocks = self._blocks, None, {}

    def within_reach(self, name: str, values: NDArray[Any]) -> NDArray[Any]:
        """Returns a copy of numbers in shared memory, or `values` if there is none."""
        if self._memory is None or values.dtype.kind not in "biuf":
            return values
        copied = self.array(name, values.shape, values.dtype)
        copied[...] = values
        return copied

    def _new_block(self, byte_size: int) -> NDArray[np.uint8]:
        """Returns an array that is the base of its parts."""
        if self._memory is not None:
            try:
                block = self._memory.allocate(byte_size, np.uint8)[:0].base
                assert isinstance(block, np.ndarray)
                return block
            except (LossdError, ValueError):
                self._memory = None  # it is full, or closed: the arrays are sent
        return np.empty(byte_size, np.uint8)
