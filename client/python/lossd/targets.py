"""Forms of targets that NumPy has no array for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lossd import arguments


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
    """Targets of one bit each, eight to a byte."""

    packed: bytes
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
        if not isinstance(shape, tuple | list):
            raise TypeError(f"shape: {shape!r} is not a tuple of integers")
        shape = tuple(arguments.integer("shape", dimension) for dimension in shape)
    return Ones(_integers("row_splits", row_splits), _integers("columns", columns), shape)


def unmasked(name: str, array: ArrayLike) -> NDArray[np.generic]:
    """The array, unless it has a mask, which would be lost."""
    arguments.refuse_mask(name, array)
    with arguments.naming(name):
        return np.asarray(array)


def bits(array: ArrayLike) -> Bits:
    """Zeros and ones, packed: a thirty-second of the bytes of float32."""
    values = unmasked("bits", array)
    if values.dtype.kind not in "biuf" and values.dtype.name != "bfloat16":
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
