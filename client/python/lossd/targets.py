"""The forms of targets for which NumPy has no array."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lossd import arguments, device_array, element_type, sparse
from lossd.element_type import UINT8


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

    packed: Any  # an array of uint8, or a tensor on a GPU that the caller has packed
    shape: tuple[int, ...]


def identity(diagonal: int = 0) -> Identity:
    """Returns targets that equal numpy.eye(..., k=diagonal), without making that array."""
    return Identity(arguments.integer("diagonal", diagonal))


def ones(row_splits: ArrayLike, columns: ArrayLike, shape: tuple[int, ...] | None = None) -> Ones:
    """Returns targets whose row r is 1 at columns[row_splits[r]:row_splits[r + 1]].

    Each row lists its columns in rising order. The rows are the first dimension of the logits,
    the columns are all others together. `shape` is that of the targets; None stands for the
    logits'. The server checks the numbers; errors here are TypeError and ValueError for arrays
    that are not one dimension of 64-bit integers.
    """
    if shape is not None:
        shape = _dimensions(shape)
    return Ones(_integers("row_splits", row_splits), _integers("columns", columns), shape)


def ones_from_lists(lists: Any, shape: tuple[int, ...] | None = None) -> Ones:
    """Returns targets whose row r is 1 at the columns that the list lists[r] names.

    `lists` is a sequence of lists, such as the labels of scikit-learn's load_svmlight_file(...,
    multilabel=True), a list array of Arrow (also a slice, or in chunks; a null is an empty list),
    or a RaggedTensor. The labels of a row may stand in any order. `shape` is that of the targets;
    None stands for the logits'.

    Raises TypeError or ValueError for a label that is no whole number or stands twice in a row.
    """
    if shape is not None:
        shape = _dimensions(shape)
    row_splits, columns = sparse.from_lists(lists)
    return Ones(row_splits, columns, shape)


def unmasked(name: str, array: ArrayLike) -> NDArray[np.generic]:
    """Returns the values as an array; TypeError if they have a mask, which would be lost."""
    arguments.refuse_mask(name, array)
    with arguments.naming(name):
        return np.asarray(array)


def bits(
    array: ArrayLike,
    shape: tuple[int, ...] | None = None,
    *,
    bitorder: Literal["little", "big"] = "little",
) -> Bits:
    """Returns targets of one bit each, from an array of zeros and ones.

    Packed targets take a thirty-second of the bytes of float32. With `shape`, which is that of
    the targets, `array` is packed already: one dimension of uint8, as made by
    numpy.packbits(ones, axis=None, bitorder=bitorder). NumPy's own default is "big"; an array
    of that order is copied. One of "little" is not copied, and is passed by reference if it lies
    in shared memory or on a GPU.

    Raises TypeError or ValueError if the array is neither, and if a bit behind the last target
    is set, which shows another shape or another order.
    """
    if bitorder not in ("little", "big"):
        raise ValueError(f"bitorder: {bitorder!r} is neither 'little' nor 'big'")
    if shape is not None:
        return _packed(array, _dimensions(shape), bitorder)
    if bitorder != "little":
        raise ValueError("bitorder: has no effect without shape, which says that bits are packed")
    values = unmasked("bits", array)
    if element_type.extension(values.dtype.name) is not None:
        values = values.astype(np.float32)
    if values.dtype.kind not in "biuf":
        raise TypeError(f"bits: dtype {values.dtype} is not one of zeros and ones")
    if values.dtype != np.bool_ and not np.isin(values, (0, 1)).all():
        raise ValueError("bits: an element is neither 0 nor 1")
    packed = np.packbits(values.astype(np.bool_).ravel(), bitorder="little")
    packed.flags.writeable = False
    return Bits(packed, values.shape)


def from_sparse(targets: Any) -> Ones | None:
    """Returns the targets of a sparse array of another library, or None if it is not sparse.

    Raises ValueError or TypeError if an element is neither 0 nor 1.
    """
    places = sparse.places(targets)
    return None if places is None else Ones(*places)


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
    return arguments.shape("shape", shape)


def _packed(array: Any, shape: tuple[int, ...], bitorder: str) -> Bits:
    on_device = device_array.of("bits", array)
    values = on_device if on_device is not None else unmasked("bits", array)
    if str(values.dtype) != UINT8.name or len(values.shape) != 1:
        raise TypeError(f"bits: {values.dtype} of shape {values.shape} is not one row of uint8")
    count = math.prod(shape)
    needed = (count + 7) // 8
    if values.shape[0] != needed:
        raise ValueError(f"bits: {values.shape[0]} bytes; shape {shape} takes {needed}")
    if on_device is not None:
        if bitorder != "little":
            raise ValueError(f"bitorder: {bitorder!r} of an array on {on_device.device}")
        return Bits(array, shape)
    packed = np.asarray(values)
    if bitorder == "big":
        packed = np.packbits(np.unpackbits(packed, bitorder="big"), bitorder="little")
    if count % 8 and packed[-1] >> (count % 8):
        raise ValueError(
            f"bits: a bit behind the {count} of shape {shape} is set; is bitorder= or shape wrong?"
        )
    return Bits(packed, shape)
