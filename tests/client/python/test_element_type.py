"""Compares the table of element types with tensor.proto and NumPy."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from lossd import element_type
from lossd.element_type import ARRAY_TYPES, BIT, EXTENSION_TYPES, ElementType
from lossd.v1 import tensor_pb2


def test_the_table_has_every_type_of_the_proto_under_its_name() -> None:
    expected = {
        name.removeprefix("DATA_TYPE_").lower(): number
        for name, number in tensor_pb2.DataType.items()
        if number != tensor_pb2.DATA_TYPE_UNSPECIFIED
    }
    assert {known.name: known.data_type for known in (*ARRAY_TYPES, BIT)} == expected


@pytest.mark.parametrize("known", ARRAY_TYPES, ids=lambda known: known.name)
def test_an_array_type_has_numpys_name_and_size(known: ElementType) -> None:
    dtype = np.dtype(getattr(ml_dtypes, known.name) if known in EXTENSION_TYPES else known.name)
    assert dtype.name == known.name
    assert dtype.itemsize * 8 == known.storage.itemsize * 8 == known.bits
    assert known.byte_size(3) == 3 * dtype.itemsize
    assert element_type.by_dtype(dtype) is known
    assert element_type.by_name(known.name) is known
    assert element_type.by_data_type(known.data_type) is known


def test_bits_fill_whole_bytes() -> None:
    assert [BIT.byte_size(count) for count in (0, 1, 8, 9)] == [0, 1, 1, 2]


def test_no_array_is_of_a_type_that_lossd_lacks() -> None:
    for name in ("uint16", "uint32", "complex64", "object"):  # uint16 only carries bfloat16
        assert element_type.by_dtype(np.dtype(name)) is None
        assert element_type.by_name(name) is None
    assert element_type.by_name("bit") is None
    with pytest.raises(KeyError):
        element_type.by_data_type(tensor_pb2.DATA_TYPE_UNSPECIFIED)
