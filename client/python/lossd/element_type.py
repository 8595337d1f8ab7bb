"""The element types of tensors: one table of their names, numbers, NumPy types and sizes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lossd.v1 import tensor_pb2


@dataclass(frozen=True)
class ElementType:
    """One row of the table."""

    name: str  # the name in NumPy, ml_dtypes and PyTorch
    data_type: tensor_pb2.DataType
    bits: int  # the size of one element
    # The NumPy type of the bytes on the wire, which are little-endian on every machine.
    # NumPy has neither the types of EXTENSION_TYPES nor single bits: the former travel as
    # integers of their size, the latter packed in "u1".
    storage: np.dtype[Any]

    def byte_size(self, elements: int) -> int:
        """Returns the size of so many packed elements in bytes."""
        return (elements * self.bits + 7) // 8


BFLOAT16 = ElementType("bfloat16", tensor_pb2.DATA_TYPE_BFLOAT16, 16, np.dtype("<u2"))
FLOAT32 = ElementType("float32", tensor_pb2.DATA_TYPE_FLOAT32, 32, np.dtype("<f4"))
FLOAT64 = ElementType("float64", tensor_pb2.DATA_TYPE_FLOAT64, 64, np.dtype("<f8"))
FLOAT16 = ElementType("float16", tensor_pb2.DATA_TYPE_FLOAT16, 16, np.dtype("<f2"))
UINT8 = ElementType("uint8", tensor_pb2.DATA_TYPE_UINT8, 8, np.dtype("u1"))
BOOL = ElementType("bool", tensor_pb2.DATA_TYPE_BOOL, 8, np.dtype("?"))
INT8 = ElementType("int8", tensor_pb2.DATA_TYPE_INT8, 8, np.dtype("i1"))
INT16 = ElementType("int16", tensor_pb2.DATA_TYPE_INT16, 16, np.dtype("<i2"))
INT32 = ElementType("int32", tensor_pb2.DATA_TYPE_INT32, 32, np.dtype("<i4"))
INT64 = ElementType("int64", tensor_pb2.DATA_TYPE_INT64, 64, np.dtype("<i8"))
FLOAT8_E4M3FN = ElementType("float8_e4m3fn", tensor_pb2.DATA_TYPE_FLOAT8_E4M3FN, 8, np.dtype("u1"))
FLOAT8_E5M2 = ElementType("float8_e5m2", tensor_pb2.DATA_TYPE_FLOAT8_E5M2, 8, np.dtype("u1"))
BIT = ElementType("bit", tensor_pb2.DATA_TYPE_BIT, 1, np.dtype("u1"))

# An array or a tensor has one of these types. Only lossd.bits() makes targets of BIT.
FLOAT8_TYPES = (FLOAT8_E4M3FN, FLOAT8_E5M2)
# NumPy has these types only with the package ml_dtypes, under the same names.
EXTENSION_TYPES = (BFLOAT16, *FLOAT8_TYPES)
ARRAY_TYPES = (
    *(BFLOAT16, FLOAT32, FLOAT64, FLOAT16, UINT8, BOOL, INT8, INT16, INT32, INT64),
    *FLOAT8_TYPES,
)
GRADIENT_TYPES = (FLOAT32, FLOAT64, BFLOAT16, FLOAT16, *FLOAT8_TYPES)

_EXTENSIONS = {known.name: known for known in EXTENSION_TYPES}
_BY_NAME = {known.name: known for known in ARRAY_TYPES}
_BY_DATA_TYPE: dict[int, ElementType] = {known.data_type: known for known in (*ARRAY_TYPES, BIT)}
_BY_STORAGE = {known.storage: known for known in ARRAY_TYPES if known not in EXTENSION_TYPES}


def by_name(name: str) -> ElementType | None:
    """Returns the type of an array from its name, or None if lossd has no such type."""
    return _BY_NAME.get(name)


def by_data_type(data_type: int) -> ElementType:
    """Returns the type from its number in a message; KeyError for DATA_TYPE_UNSPECIFIED."""
    return _BY_DATA_TYPE[data_type]


def by_storage(dtype: np.dtype[Any]) -> ElementType | None:
    """Returns the type whose bytes on the wire are those of such an array, or None."""
    return _BY_STORAGE.get(dtype)


def by_dtype(dtype: np.dtype[Any]) -> ElementType | None:
    """Returns the type of a NumPy array of either byte order, or None if lossd has no such type."""
    known = _BY_STORAGE.get(dtype.newbyteorder("<"))
    return _EXTENSIONS.get(dtype.name) if known is None else known


def extension(name: str) -> ElementType | None:
    """Returns the type of this name if NumPy has it only with ml_dtypes, else None."""
    return _EXTENSIONS.get(name)


def names(types: Iterable[ElementType]) -> str:
    """Returns the names as error messages list them."""
    return ", ".join(known.name for known in types)
