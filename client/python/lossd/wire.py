"""Tensors as their bytes are sent."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lossd import arguments, device_array
from lossd.v1 import tensor_pb2

try:  # NumPy has no bfloat16 of its own
    from ml_dtypes import bfloat16 as _bfloat16
except ImportError:
    _bfloat16 = None

# What lossd reads and writes, little-endian whatever this machine is.
_WIRE_TYPES: dict[int, np.dtype[Any]] = {
    tensor_pb2.DATA_TYPE_FLOAT32: np.dtype("<f4"),
    tensor_pb2.DATA_TYPE_FLOAT64: np.dtype("<f8"),
    tensor_pb2.DATA_TYPE_FLOAT16: np.dtype("<f2"),
    tensor_pb2.DATA_TYPE_UINT8: np.dtype("u1"),
    tensor_pb2.DATA_TYPE_BOOL: np.dtype("?"),
    tensor_pb2.DATA_TYPE_INT32: np.dtype("<i4"),
    tensor_pb2.DATA_TYPE_INT64: np.dtype("<i8"),
}
DATA_TYPES: dict[np.dtype[Any], Any] = {
    dtype: data_type for data_type, dtype in _WIRE_TYPES.items()
}
TYPES_BY_NAME: dict[str, Any] = {
    "bfloat16": tensor_pb2.DATA_TYPE_BFLOAT16,
    **{str(dtype.name): data_type for dtype, data_type in DATA_TYPES.items()},
}


@dataclass(frozen=True, eq=False)
class WireTensor:
    """A tensor as its bytes are sent; `data` is a view where the array is fit for it."""

    data_type: Any
    shape: tuple[int, ...]
    data: memoryview


def to_wire(name: str, array: ArrayLike) -> WireTensor:
    """`array` as bytes. TypeError, naming `name`, for what cannot be sent.

    What lies on a GPU its library copies to the host, if it can.
    """
    arguments.refuse_mask(name, array)
    device = device_array.of(name, array)
    if device is not None and not device.copies_itself:
        raise device_array.not_lent(name, device)
    with arguments.naming(name):
        values, data_type = values_of(array)
    if data_type is None:
        raise TypeError(f"{name}: dtype {values.dtype} is none of {known_types()}")
    wire = values.dtype.newbyteorder("<")
    data = np.ascontiguousarray(values, dtype=wire).reshape(-1).view(np.uint8)
    return WireTensor(data_type, values.shape, data.data)


def known_types() -> str:
    return ", ".join(["bfloat16", *(str(dtype.name) for dtype in DATA_TYPES)])


def values_of(array: ArrayLike) -> tuple[NDArray[Any], Any]:
    """An array of the same bytes, and their data type; None: lossd has none."""
    torch = sys.modules.get("torch")  # whoever has a tensor has imported it
    if torch is not None and isinstance(array, torch.Tensor):
        tensor = array.detach().cpu()
        if tensor.dtype == torch.bfloat16:
            return tensor.view(torch.int16).numpy(), tensor_pb2.DATA_TYPE_BFLOAT16
        return values_of(tensor.numpy())
    values = np.asarray(array)
    data_type = DATA_TYPES.get(values.dtype.newbyteorder("<"))
    if data_type is None and values.dtype.name == "bfloat16":
        return values.view(np.int16), tensor_pb2.DATA_TYPE_BFLOAT16
    return values, data_type


def to_array(tensor: tensor_pb2.Tensor) -> NDArray[Any]:
    """The elements of a reply's tensor, not copied where NumPy has their type."""
    return from_wire(tensor.dtype, tuple(tensor.shape), tensor.data)


def from_wire(data_type: Any, shape: tuple[int, ...], data: Any) -> NDArray[Any]:
    """Elements from their bytes, not copied where NumPy has their type."""
    if data_type != tensor_pb2.DATA_TYPE_BFLOAT16:
        return np.frombuffer(data, dtype=_WIRE_TYPES[data_type]).reshape(shape)
    halves = np.frombuffer(data, dtype="<u2").reshape(shape)
    if _bfloat16 is not None and sys.byteorder == "little":
        return halves.view(_bfloat16)
    return (halves.astype("<u4") << 16).view("<f4")
