"""Tensors as the bytes that are sent and received."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lossd import arguments, device_array, element_type, float8
from lossd.element_type import (
    ARRAY_TYPES,
    BFLOAT16,
    EXTENSION_TYPES,
    FLOAT8_TYPES,
    GRADIENT_TYPES,
    ElementType,
)
from lossd.pytorch import torch_of
from lossd.reply import Received

try:  # NumPy has neither bfloat16 nor float8, the optional package ml_dtypes has
    import ml_dtypes as _ml_dtypes
except ImportError:
    _ml_dtypes = None  # type: ignore[assignment]

_LABELS = "lossd.ones() and lossd.ones_from_lists() take lists of labels"


class WireTensor(NamedTuple):
    """A tensor as its bytes are sent."""

    element_type: ElementType
    shape: tuple[int, ...]
    # C-contiguous and little-endian; it is the caller's own memory if that holds these bytes.
    # bfloat16 and float8 are carried by an integer type of NumPy, of the same size.
    values: NDArray[Any]


def to_wire(name: str, array: Any) -> WireTensor:
    """Returns the bytes of `array`; an array on a GPU is copied by its library.

    Raises TypeError or ValueError, which name `name`, for an array that cannot be sent.
    """
    if type(array) is np.ndarray:  # the fast way, which most calls take
        stored = element_type.by_storage(array.dtype)
        if stored is not None and array.flags.c_contiguous:
            return WireTensor(stored, array.shape, array)
    arguments.refuse_mask(name, array)
    device = device_array.of(name, array)
    if device is not None and not device.copies_itself:
        raise device_array.not_lent(name, device)
    with arguments.naming(name):
        try:
            values, known = values_of(array)
        except ValueError as error:
            if name == "targets" and isinstance(array, list | tuple):  # rows of different lengths
                raise ValueError(f"{error} {_LABELS}") from error
            raise
    if known is None:
        raise _not_known(name, values)
    little_endian = values.dtype.newbyteorder("<")
    row_major = np.ascontiguousarray(values, dtype=little_endian)
    return WireTensor(known, values.shape, row_major.reshape(values.shape))


def values_of(array: Any) -> tuple[NDArray[Any], ElementType | None]:
    """Returns a NumPy array of the same bytes, and their type; None if lossd has no such type.

    The array is over the memory of `array`, unless that is a list or lies on a GPU. Types of
    EXTENSION_TYPES are returned as integers of the same size and byte order.
    """
    torch = torch_of(array)
    if torch is not None:
        if array.layout != torch.strided:
            raise TypeError(f"a tensor of layout {array.layout} has no plain memory")
        tensor = array.detach().cpu()
        extension = element_type.extension(str(tensor.dtype).removeprefix("torch."))
        if extension is not None:
            integers = torch.int16 if extension is BFLOAT16 else torch.uint8
            return tensor.view(integers).numpy(), extension
        return values_of(tensor.numpy())
    values = np.asarray(array)
    known = element_type.by_dtype(values.dtype)
    if known not in EXTENSION_TYPES:
        return values, known
    storage = np.dtype(np.int16) if known is BFLOAT16 else known.storage
    return values.view(storage.newbyteorder(values.dtype.byteorder)), known


def to_array(tensor: Received) -> NDArray[Any]:
    """Returns the elements of a reply's tensor as a read-only view of the reply.

    Without the package ml_dtypes, bfloat16 and float8 are widened to a copy in float32.
    """
    kind, shape, message, first, _ = tensor
    return view(kind, shape, message, first)


def view(kind: ElementType, shape: tuple[int, ...], message: bytes, first: int) -> NDArray[Any]:
    """Returns what to_array() does for elements that begin at the byte `first`."""
    stored: NDArray[Any] = np.ndarray(shape, kind.storage, message, first)
    return stored if kind not in EXTENSION_TYPES else as_elements(kind, stored)


def as_elements(kind: ElementType, stored: NDArray[Any]) -> NDArray[Any]:
    """Returns an array of `kind.storage` as one of the elements' own type, if NumPy has it."""
    if kind not in EXTENSION_TYPES:
        return stored
    if _ml_dtypes is not None and sys.byteorder == "little":
        return stored.view(getattr(_ml_dtypes, kind.name))
    if kind in FLOAT8_TYPES:
        widened: NDArray[Any] = float8.values(kind)[stored]
        return widened
    return (stored.astype("<u4") << 16).view("<f4")


def store(kind: ElementType, stored: NDArray[Any], values: NDArray[Any]) -> None:
    """Rounds values of float32 or float64 to elements of `kind`, as the server rounds.

    The elements are put into an array of `kind.storage`. Every NaN becomes the canonical one.
    """
    if kind in FLOAT8_TYPES:
        stored[...] = float8.rounded(kind, values.astype(np.float64))
        return
    is_nan = np.isnan(values)
    if kind is BFLOAT16:
        bits = _odd(values).view(np.uint32)
        rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16  # to the nearest, ties to even
        stored[...] = np.where(is_nan, 0x7FC0, rounded)
    else:
        stored[...] = np.where(is_nan, np.nan, values)


def _odd(values: NDArray[Any]) -> NDArray[np.float32]:
    """Returns float32 values of which rounding to bfloat16 gives the same as of `values`.

    A value that is no float32 becomes the neighbour whose last bit is 1, so that the second
    rounding sees on which side of a tie it was.
    """
    nearest = values.astype(np.float32)
    past = np.abs(nearest) > np.abs(values)
    bits: NDArray[np.uint32] = nearest.view(np.uint32) - past | (nearest != values)
    return bits.view(np.float32)


def _not_known(name: str, values: NDArray[Any]) -> TypeError:
    types = GRADIENT_TYPES if name == "logits" else ARRAY_TYPES
    hint = ""
    if values.dtype.kind == "V" and values.dtype.itemsize == BFLOAT16.storage.itemsize:
        hint = "; numpy.load() reads bfloat16 so, which array.view(ml_dtypes.bfloat16) mends"
    elif values.dtype == np.dtype("V1"):  # not one of ml_dtypes, whose kind is V too
        hint = (
            "; numpy.load() reads both types of float8 so, which array.view() with "
            "ml_dtypes.float8_e4m3fn or float8_e5m2 mends, whichever was saved"
        )
    elif values.dtype.hasobject:
        hint = f"; {_LABELS}"
    return TypeError(f"{name}: dtype {values.dtype} is none of {element_type.names(types)}{hint}")
