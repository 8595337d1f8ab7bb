"""The forms of targets for which NumPy has no array."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lossd import arguments, device_array
from lossd.element_type import BFLOAT16, UINT8


@runtime_checkable
class SparseMatrix(Protocol):
    """A matrix or array of scipy.sparse, in any of its formats."""

    def tocsr(self, *, copy: bool) -> Any: ...


@dataclass(frozen=True)
class Identity:
    """Targets for a matrix of logits that are 1 on one diagonal and 0 elsewhere."""

    diagonal: int


@dataclass(frozen=True, eq=False)  # == of arrays has no truth value
class Ones:
    """Targets that are 1 at the given places and 0 elsewhere.

    A `shape` of None stands for the shape of the logits.
    """

    row_splits: NDArray[np.int64]
    columns: NDArray[np.int64]
    shape: tuple[int, ...] | None


@dataclass(frozen=True, eq=False)
class Bits:
    """Targets of one bit each, with eight of them in a byte."""

    packed: Any  # bytes, or the array or tensor that the caller has packed
    shape: tuple[int, ...]


def identity(diagonal: int = 0) -> Identity:
    """Returns targets that equal numpy.eye(..., k=diagonal), without making that array."""
    return Identity(arguments.integer("diagonal", diagonal))


def ones(row_splits: ArrayLike, columns: ArrayLike, shape: tuple[int, ...] | None = None) -> Ones:
    """Returns targets whose row r is 1 at columns[row_splits[r]:row_splits[r + 1]].

    Each row lists its columns in rising order. The rows are the first dimension of the logits,
    the columns are all others together. The server checks the numbers; errors here are
    TypeError and ValueError for arrays that are not one dimension of 64-bit integers.
    """
    if shape is not None:
        shape = _dimensions(shape)
    return Ones(_integers("row_splits", row_splits), _integers("columns", columns), shape)


def unmasked(name: str, array: ArrayLike) -> NDArray[np.generic]:
    """Returns the values as an array; TypeError if they have a mask, which would be lost."""
    arguments.refuse_mask(name, array)
    with arguments.naming(name):
        return np.asarray(array)


def bits(array: ArrayLike, shape: tuple[int, ...] | None = None) -> Bits:
    """Returns targets of one bit each, from an array of zeros and ones.

    Packed targets take a thirty-second of the bytes of float32. With `shape`, which is that of
    the targets, `array` is packed already: one dimension of uint8, as made by
    numpy.packbits(ones, axis=None, bitorder="little"). A packed array is not copied, and is
    passed by reference if it lies in shared memory or on a GPU.

    Raises TypeError or ValueError if the array is neither.
    """
    if shape is not None:
        return _packed(array, _dimensions(shape))
    values = unmasked("bits", array)
    if values.dtype.kind not in "biuf" and values.dtype.name != BFLOAT16.name:
        raise TypeError(f"bits: dtype {values.dtype} is not one of zeros and ones")
    if values.dtype != np.bool_ and not np.isin(values, (0, 1)).all():
        raise ValueError("bits: an element is neither 0 nor 1")
    packed = np.packbits(values.astype(np.bool_).ravel(), bitorder="little")
    return Bits(packed.tobytes(), values.shape)


def from_sparse(matrix: SparseMatrix) -> Ones:
    """Returns the targets of a scipy.sparse matrix or array.

    Raises ValueError if an element is neither 0 nor 1.
    """
    rows = matrix.tocsr(copy=True)
    rows.sum_duplicates()
    rows.eliminate_zeros()
    rows.sort_indices()
    if not (rows.data == 1).all():
        raise ValueError("targets: an element of the sparse matrix is neither 0 nor 1")
    return ones(rows.indptr, rows.indices, rows.shape)


def _integers(name: str, array: ArrayLike) -> NDArray[np.int64]:
    values = unmasked(name, array)
    if values.ndim != 1 or (values.size > 0 and values.dtype.kind not in "iu"):
        raise TypeError(f"{name}: not one dimension of integers")
    if values.size > 0 and values.max() > np.iinfo(np.int64).max:
        raise ValueError(f"{name}: {values.max()} does not fit 64 bits")
    return values.astype(np.int64)


def _dimensions(shape: Any) -> tuple[int, ...]:
    if not isinstance(shape, tuple | list):
        raise TypeError(f"shape: {shape!r} is not a tuple of integers")
    return tuple(arguments.integer("shape", dimension) for dimension in shape)


def _packed(array: Any, shape: tuple[int, ...]) -> Bits:
    on_device = device_array.of("bits", array)
    values = on_device if on_device is not None else unmasked("bits", array)
    if str(values.dtype) != UINT8.name or len(values.shape) != 1:
        raise TypeError(f"bits: {values.dtype} of shape {values.shape} is not one row of uint8")
    needed = (math.prod(shape) + 7) // 8
    if values.shape[0] != needed:
        raise ValueError(f"bits: {values.shape[0]} bytes; shape {shape} takes {needed}")
    return Bits(array if on_device is not None else values, shape)
