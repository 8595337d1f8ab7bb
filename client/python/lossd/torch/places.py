"""Shared memory in which the tensors of a call lie, and the calls that were made for it (D74)."""

from __future__ import annotations

import os
import time
import weakref
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from lossd.conversion import Call
from lossd.errors import LossdError
from lossd.shared_memory import SharedMemory

_ALIGNMENT = 64  # of each tensor, which a gradient needs
_MOST_FREE = 8
# More gradients than these are copied, so that one process does not take the server's memory.
_MOST_LENT = 16
_MOST_CALLS = 64  # of one place; a loss has few shapes
# The server ends any request that it has begun much sooner.
_KEPT_SECONDS = 60.0

_forks = 0  # of this process until now


class PlacedCall(NamedTuple):
    """A call whose tensors lie in a place."""

    call: Call
    views: tuple[torch.Tensor | None, ...]  # to which the caller's tensors are copied, in order
    gradient: NDArray[Any] | None


class Place:
    """Memory for the tensors of one call at a time."""

    def __init__(self, memory: NDArray[np.uint8]) -> None:
        self.memory = memory
        self.calls: dict[Any, PlacedCall] = {}
        self.forks = _forks
        self._used = 0

    def begin(self) -> None:
        """Makes the whole place free for the tensors of another call."""
        self._used = 0
        if len(self.calls) >= _MOST_CALLS:
            self.calls.clear()

    def array(self, shape: torch.Size, dtype: Any) -> NDArray[Any]:
        """Returns the next part of the place as an array."""
        found: NDArray[Any] = np.ndarray(tuple(shape), dtype, self.memory, self._used)
        self._used += padded(found.nbytes)
        return found

    def view(self, tensor: torch.Tensor) -> torch.Tensor:
        """Returns the next part of the place as a tensor of the same shape and type."""
        part = self.array(torch.Size((tensor.nbytes,)), np.uint8)
        with torch.inference_mode(False):  # the view outlives the mode in which it is made
            return torch.from_numpy(part).view(tensor.dtype).view(tensor.shape)


def padded(byte_size: int) -> int:
    """Returns the bytes that a tensor takes of a place."""
    return -(-byte_size // _ALIGNMENT) * _ALIGNMENT


class Pool:
    """The places of one client. Thread-safe, and of one process.

    A place is taken for a call. It comes back after the call, or once nothing uses the gradient
    that the server has written there.
    """

    def __init__(self, memory: SharedMemory) -> None:
        self.memory = memory
        self._process = os.getpid()
        # Finalizers change these at any time, so each change is one operation of a list or a set.
        self._free: list[Place] = []
        self._forked: list[Place] = []  # those that are not used again
        self._lent: set[int] = set()
        self._kept: list[tuple[float, Place]] = []  # each with the end of its time

    def take(self, byte_size: int) -> Place | None:
        """Returns a place of at least so many bytes, or None if the server has no memory.

        Returns None as well in a forked child: it shares the memory with its parent, and two
        processes would write to one place.
        """
        if os.getpid() != self._process:
            return None
        size = _rounded(byte_size)
        for place in reversed(self._free):
            if place.memory.size == size:
                try:
                    self._free.remove(place)
                except ValueError:  # another thread was faster
                    continue
                place.forks = _forks
                return place
        made = self._new(size)
        if made is None and (self._free or self._forked):
            self._free.clear()
            self._forked.clear()
            made = self._new(size)
        return made

    def _new(self, size: int) -> Place | None:
        try:
            return Place(self.memory.allocate(size, np.uint8))
        except (LossdError, ValueError):  # the server's limit, or the memory is closed
            return None

    def give_back(self, place: Place) -> None:
        """Takes a place back that nothing uses; any thread may call this at any time."""
        # A child that was forked meanwhile may still read what lies there.
        places = self._free if place.forks == _forks else self._forked
        places.append(place)
        if len(places) > _MOST_FREE:
            del places[0]

    def keep_for_a_while(self, place: Place) -> None:
        """Keeps a place to which the server may still write, for 60 seconds."""
        now = time.monotonic()
        self._kept = [(until, kept) for until, kept in self._kept if until > now]
        self._kept.append((now + _KEPT_SECONDS, place))

    def lend(self, place: Place, gradient: NDArray[Any]) -> torch.Tensor | None:
        """Returns the gradient as a tensor, whose end gives the place back.

        Returns None if too many are lent, and the caller keeps the place.
        """
        if len(self._lent) >= _MOST_LENT:
            return None
        number = id(place)
        self._lent.add(number)
        lent = gradient.view()  # an object of its own, which the tensor keeps alive
        weakref.finalize(lent, self._end, number, place).atexit = False
        return torch.from_numpy(lent)

    def _end(self, number: int, place: Place) -> None:
        self._lent.discard(number)
        self.give_back(place)


def _rounded(byte_size: int) -> int:
    """Returns a size for places that differ little; it is larger by an eighth at most."""
    step = max(4096, 1 << max(byte_size.bit_length() - 4, 0))
    return -(-byte_size // step) * step


def _count_fork() -> None:
    global _forks
    _forks += 1


os.register_at_fork(after_in_parent=_count_fork)
