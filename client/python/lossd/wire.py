"""Tensors as the bytes that are sent and received."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lossd import arguments, device_array, element_type
from lossd.element_type import ARRAY_TYPES, BFLOAT16, ElementType
from lossd.pytorch import torch_of
from lossd.v1 import tensor_pb2

try:  # NumPy has no bfloat16, the optional package ml_dtypes has
    from ml_dtypes import bfloat16 as _bfloat16
except ImportError:
    _bfloat16 = None


@dataclass(frozen=True, eq=False)
class WireTensor:
    """A tensor as its bytes are sent."""

    element_type: ElementType
    shape: tuple[int, ...]
    data: memoryview  # over the caller's memory if that holds exactly these bytes


def to_wire(name: str, array: ArrayLike) -> WireTensor:
    """Returns the bytes of `array`; an array on a GPU is copied by its library.

    Raises TypeError, which names `name`, for an array that cannot be sent.
    """
    arguments.refuse_mask(name, array)
    device = device_array.of(name, array)
    if device is not None and not device.copies_itself:
        raise device_array.not_lent(name, device)
    with arguments.naming(name):
        values, known = values_of(array)
    if known is None:
        raise TypeError(
            f"{name}: dtype {values.dtype} is none of {element_type.names(ARRAY_TYPES)}"
        )
    little_endian = values.dtype.newbyteorder("<")
    data = np.ascontiguousarray(values, dtype=little_endian).reshape(-1).view(np.uint8)
    return WireTensor(known, values.shape, data.data)


def values_of(array: Any) -> tuple[NDArray[Any], ElementType | None]:
    """Returns a NumPy array of the same bytes, and their type; None if lossd has no such type.

    The array is over the memory of `array`, unless that is a list or lies on a GPU. bfloat16 is
    returned as int16, a type of the same size that NumPy has.
    """
    torch = torch_of(array)
    if torch is not None:
        tensor = array.detach().cpu()
        if tensor.dtype == torch.bfloat16:
            return tensor.view(torch.int16).numpy(), BFLOAT16
        return values_of(tensor.numpy())
    values = np.asarray(array)
    known = element_type.by_dtype(values.dtype)
    return values.view(np.int16) if known is BFLOAT16 else values, known


def to_array(tensor: tensor_pb2.Tensor) -> NDArray[Any]:
    """Returns the elements of a reply's tensor, not copied where NumPy has their type."""
    return from_wire(element_type.by_data_type(tensor.dtype), tuple(tensor.shape), tensor.data)


def from_wire(kind: ElementType, shape: tuple[int, ...], data: bytes | memoryview) -> NDArray[Any]:
    """Returns the elements from their bytes, not copied where NumPy has their type.

    Without the package ml_dtypes, bfloat16 is widened to float32.
    """
    stored = np.frombuffer(data, dtype=kind.storage).reshape(shape)
    if kind is not BFLOAT16:
        return stored
    if _bfloat16 is not None and sys.byteorder == "little":
        return stored.view(_bfloat16)
    return (stored.astype("<u4") << 16).view("<f4")
