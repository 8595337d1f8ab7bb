"""Calls whose tensors all lie in shared memory, kept for the next call of the same arrays (D70)."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from lossd.conversion import NOTHING_SHARED, Call
from lossd.reply import Expected
from lossd.spec import CONSTANTS, OUTS

_MOST = 64  # calls that are kept; a worker has a few arrays, which it uses again and again


class _Kept(NamedTuple):
    request: bytes
    usual: Expected | None
    # The place of each array among the arguments, the array without keeping it, and the layout
    # that it had, which its owner can change.
    arrays: tuple[tuple[int, Callable[[], Any], tuple[int, ...], np.dtype[Any]], ...]
    options: Mapping[str, Any]  # without the places for results


class NamedCalls:
    """Finds the request of a call again. Thread-safe.

    A request that only names places in shared memory is the same as long as the arrays, their
    layouts and the options are. Nothing here keeps an array or its memory.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[int, ...], _Kept] = {}

    def find(self, logits: Any, targets: Any, options: Mapping[str, Any]) -> Call | None:
        """Returns the call of these very objects, or None if it is not kept."""
        out, second_out = options.get(OUTS[0]), options.get(OUTS[1])
        given = (logits, targets, out, second_out)
        kept = self._kept.get((id(logits), id(targets), id(out), id(second_out)))
        if kept is None:
            return None
        request, usual, arrays, constants = kept
        for place, known, shape, dtype in arrays:
            array = given[place]
            if (
                known() is not array  # another object may have the number of one that is gone
                or array.shape != shape
                or array.dtype != dtype
                or not array.flags.carray
            ):
                return None
        if len(options) != len(constants) + (OUTS[0] in options) + (OUTS[1] in options):
            return None
        for name, value in constants.items():
            if options.get(name, self) is not value:
                return None
        return Call(request, logits, out, NOTHING_SHARED, usual, False, second_out)

    def keep(self, call: Call, targets: Any, options: Mapping[str, Any]) -> None:
        """Keeps a call of the arguments with which to_call() made it, if it can be found again."""
        outs = [options.get(name) for name in OUTS]
        arrays = [
            (place, array)
            for place, array in enumerate((call.logits, targets, *outs))
            if place < 2 or array is not None
        ]
        constants = {name: value for name, value in options.items() if name not in OUTS}
        if (
            call.holds_tensors
            or not all(type(array) is np.ndarray and array.flags.carray for _, array in arrays)
            or not all(type(value) in CONSTANTS for value in constants.values())
        ):
            return
        if len(self._kept) >= _MOST:
            self._kept.clear()
        key = (id(call.logits), id(targets), *map(id, outs))
        layouts = tuple(
            (place, weakref.ref(array), array.shape, array.dtype) for place, array in arrays
        )
        self._kept[key] = _Kept(call.request, call.usual, layouts, constants)
