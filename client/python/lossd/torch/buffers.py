"""Places in shared memory for the tensors of a call, which are used again."""

from __future__ import annotations

import contextlib
import math
import os
import time
import weakref
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from lossd.client import Client
from lossd.errors import LossdError
from lossd.shared_memory import SharedMemory

# A smaller tensor costs less in the message than a copy and a reference do.
_LEAST_BYTES = 64 << 10
_PAGE_BYTES = 4096
# The server ends any request that it has begun much sooner.
_KEPT_SECONDS = 60.0


class Stage(NamedTuple):
    """The tensors with which a call is made."""

    logits: torch.Tensor
    targets: Any
    gradient_out: torch.Tensor | None  # None: the client makes a new tensor


class Pool:
    """Memory of one server for tensors of any type. Thread-safe, and of one process.

    A tensor's memory comes back once nothing uses the tensor or a view of it any more.
    """

    def __init__(self, memory: SharedMemory) -> None:
        self._memory = memory
        self._process = os.getpid()
        self._free: dict[int, list[NDArray[Any]]] = {}  # the key is the size in bytes
        self._kept: list[tuple[float, torch.Tensor]] = []  # each with the end of its time

    def empty(self, shape: torch.Size, dtype: torch.dtype) -> torch.Tensor | None:
        """Returns a new tensor, whose elements are not set; None if the server has no memory."""
        used = math.prod(shape) * dtype.itemsize
        byte_size = -(-used // _PAGE_BYTES) * _PAGE_BYTES
        free = self._free.setdefault(byte_size, [])
        try:
            kept = free.pop()
        except IndexError:
            try:
                kept = self._memory.allocate(byte_size, np.uint8)
            except (LossdError, ValueError):  # the server's limit, or the memory is closed
                return None
        lent = kept.view()  # an object of its own, which the tensor keeps alive
        weakref.finalize(lent, free.append, kept).atexit = False
        return torch.from_numpy(lent)[:used].view(dtype).view(shape)

    def keep_for_a_while(self, tensor: torch.Tensor) -> None:
        """Keeps a tensor to which the server may still write, for 60 seconds."""
        now = time.monotonic()
        self._kept = [(until, kept) for until, kept in self._kept if until > now]
        self._kept.append((now + _KEPT_SECONDS, tensor))

    def usable(self) -> bool:
        """Returns whether this is the process that made the pool.

        A forked child has the same memory, so two processes would write to one tensor.
        """
        return os.getpid() == self._process


_pools: weakref.WeakKeyDictionary[SharedMemory, Pool] = weakref.WeakKeyDictionary()


@contextlib.contextmanager
def staged(client: Client, logits: torch.Tensor, targets: Any) -> Iterator[Stage]:
    """Gives the tensors of a call places in the client's shared memory, if it has one.

    Small tensors, and those on a GPU, stay where they are.
    """
    pool = _pool(client)
    size = logits.numel() * logits.element_size()
    if pool is None or logits.device.type != "cpu" or size < _LEAST_BYTES:
        yield Stage(logits, targets, None)
        return
    wide = torch.float64 if logits.dtype == torch.float64 else torch.float32
    out = pool.empty(logits.shape, wide)
    try:
        yield Stage(_in(pool, logits), _in(pool, targets), out)
    except BaseException:  # also a call that timed out or was interrupted
        if out is not None:
            pool.keep_for_a_while(out)
        raise


def _pool(client: Client) -> Pool | None:
    memory = client._shared_memory
    if memory is None:
        return None
    pool = _pools.get(memory)
    if pool is None:
        pool = _pools.setdefault(memory, Pool(memory))
    return pool if pool.usable() else None


def _in(pool: Pool, tensor: Any) -> Any:
    """Returns a copy of a tensor in shared memory, or the tensor itself if it is there."""
    if not isinstance(tensor, torch.Tensor):
        return tensor
    memory = pool._memory
    with contextlib.suppress(TypeError):  # NumPy has no bfloat16, and that tensor is copied
        if tensor.is_contiguous() and memory.reference(tensor.numpy()) is not None:
            return tensor
    place = pool.empty(tensor.shape, tensor.dtype)
    return tensor if place is None else place.copy_(tensor)
