"""The float8 types by tables of their values, for hosts without the package ml_dtypes."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossd.element_type import FLOAT8_E4M3FN, ElementType


@functools.cache
def values(kind: ElementType) -> NDArray[np.float32]:
    """Returns the value of each of the 256 patterns."""
    fraction_bits, bias = (3, 7) if kind is FLOAT8_E4M3FN else (2, 15)
    magnitude = np.arange(128)
    exponent = magnitude >> fraction_bits
    fraction = magnitude & ((1 << fraction_bits) - 1)
    digits = np.where(exponent == 0, fraction, (1 << fraction_bits) + fraction)
    found = np.ldexp(digits.astype(np.float32), np.maximum(exponent, 1) - bias - fraction_bits)
    if kind is FLOAT8_E4M3FN:
        found[0x7F] = np.nan
    else:
        found[0x7C], found[0x7D:] = np.inf, np.nan
    both = np.concatenate([found, -found])
    both.flags.writeable = False
    return both


@functools.cache
def _middles(kind: ElementType) -> NDArray[np.float64]:
    """Returns the numbers in the middle of neighbours, and of the largest and what would follow."""
    known = values(kind)[:128].astype(np.float64)
    finite = known[np.isfinite(known)]
    following = 2 * finite[-1] - finite[-2]
    middles: NDArray[np.float64] = (finite + np.append(finite[1:], following)) / 2
    return middles


def rounded(kind: ElementType, wide: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Returns the nearest patterns, ties to even, as the server rounds.

    A magnitude beyond the largest number is NaN in float8_e4m3fn and infinite in float8_e5m2.
    """
    middles = _middles(kind)
    size = np.abs(wide)
    below, through = (np.searchsorted(middles, size, side) for side in ("left", "right"))
    # Both differ at a tie alone.
    bits = np.where(below % 2 == 0, below, through).astype(np.uint8)
    nan = 0x7F if kind is FLOAT8_E4M3FN else 0x7E
    is_nan = np.isnan(wide) | ((bits == 0x7F) if kind is FLOAT8_E4M3FN else False)
    found: NDArray[Any] = np.where(is_nan, nan, bits | np.where(np.signbit(wide), 0x80, 0))
    return found.astype(np.uint8)
