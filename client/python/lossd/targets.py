"""Forms of targets that NumPy has no array for."""

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
    """What scipy.sparse has in many formats."""

    def tocsr(self, *, copy: bool) -> Any: ...


@dataclass(frozen=True)
class Identity:
    """The targets of a matrix of logits that are 1 on one diagonal, 0 elsewhere."""

    diagonal: int


@dataclass(frozen=True, eq=False)  # == of arrays is not a truth value
class Ones:
    """Targets that are 1 at some places, 0 elsewhere; `shape` None: that of the logits."""

    row_splits: NDArray[np.int64]
    columns: NDArray[np.int64]
    shape: tuple[int, ...] | None


@dataclass(frozen=True, eq=False)
class Bits:
    """Targets of one bit each, eight to a byte; `packed` may be the caller's own array."""

    packed: Any
    shape: tuple[int, ...]


def identity(diagonal: int = 0) -> Identity:
    """numpy.eye(..., k=diagonal), never expanded."""
    return Identity(arguments.integer("diagonal", diagonal))


def ones(row_splits: ArrayLike, columns: ArrayLike, shape: tuple[int, ...] | None = None) -> Ones:
    """Row r is 1 at columns[row_splits[r]:row_splits[r + 1]], which rise.

    The rows are the first dimension, the columns all others together. The server says
    what is wrong with the numbers, if anything is.
    """
    if shape is not None:
        shape = _dimensions(shape)
    return Ones(_integers("row_splits", row_splits), _integers("columns", columns), shape)


def unmasked(name: str, array: ArrayLike) -> NDArray[np.generic]:
    """The array, unless it has a mask, which would be lost."""
    arguments.refuse_mask(name, array)
    with arguments.naming(name):
        return np.asarray(array)


def bits(array: ArrayLike, shape: tuple[int, ...] | None = None) -> Bits:
    """Zeros and ones, packed: a thirty-second of the bytes of float32.

    With `shape`, that of the targets, `array` is packed already: bytes in one dimension, as
    numpy.packbits(ones, axis=None, bitorder="little") makes them. It is not copied, and named
    instead of sent where it lies in shared memory or on a GPU.
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
    """A scipy.sparse matrix or array whose elements are 0 and 1."""
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
