"""Compares the float8 types with ml_dtypes, bit for bit, with and without that package."""

from __future__ import annotations

from typing import Any

import lossd
import messages
import ml_dtypes
import numpy as np
import pytest
from lossd import float8, wire
from lossd.element_type import FLOAT8_E4M3FN, FLOAT8_E5M2, FLOAT8_TYPES, ElementType
from lossd.v1 import tensor_pb2

EVERY = np.arange(256, dtype=np.uint8)
IDS = [kind.name for kind in FLOAT8_TYPES]


def dtype_of(kind: ElementType) -> np.dtype[Any]:
    return np.dtype(getattr(ml_dtypes, kind.name))


@pytest.mark.parametrize("kind", FLOAT8_TYPES, ids=IDS)
def test_each_pattern_has_the_value_of_ml_dtypes_and_comes_back(kind: ElementType) -> None:
    expected = EVERY.view(dtype_of(kind)).astype(np.float32)
    found = float8.values(kind)
    assert np.array_equal(found, expected, equal_nan=True)
    assert np.array_equal(np.signbit(found), np.signbit(expected))
    is_nan = np.isnan(found)
    assert is_nan.sum() == (2 if kind is FLOAT8_E4M3FN else 6)
    back = float8.rounded(kind, found.astype(np.float64))
    assert np.array_equal(back[~is_nan], EVERY[~is_nan])
    assert set(back[is_nan]) == {0x7F if kind is FLOAT8_E4M3FN else 0x7E}


@pytest.mark.parametrize("kind", FLOAT8_TYPES, ids=IDS)
def test_rounding_is_that_of_ml_dtypes(kind: ElementType) -> None:
    # Every 4,999th float32: all exponents, both signs, infinities and NaNs.
    some = np.arange(0, 1 << 32, 4999, dtype=np.uint32).view(np.float32)
    numbers = np.sort(float8.values(kind)[:128].astype(np.float64))
    numbers = numbers[np.isfinite(numbers)]
    ties = ((numbers[1:] + numbers[:-1]) / 2).astype(np.float32)
    largest = np.float32(numbers[-1] + (numbers[-1] - numbers[-2]) / 2)
    near = np.concatenate([ties, [largest, np.inf, np.nan, 0]]).astype(np.float32)
    near = np.concatenate([near, np.nextafter(near, np.float32(0)), np.nextafter(near, np.inf)])
    for values in (some, near, -near):
        expected = values.astype(dtype_of(kind)).astype(np.float32)
        found = float8.values(kind)[float8.rounded(kind, values.astype(np.float64))]
        assert np.array_equal(found, expected, equal_nan=True)
        number = ~np.isnan(expected)
        assert np.array_equal(np.signbit(found)[number], np.signbit(expected)[number])


def test_what_is_too_large_is_nan_or_infinite() -> None:
    large = np.array([464, 464.001, -1e9, np.inf])
    assert float8.rounded(FLOAT8_E4M3FN, large).tolist() == [0x7E, 0x7F, 0x7F, 0x7F]
    large = np.array([61439.9, 61440, -1e9, np.inf])
    assert float8.rounded(FLOAT8_E5M2, large).tolist() == [0x7B, 0x7C, 0xFC, 0x7C]


@pytest.mark.parametrize("kind", FLOAT8_TYPES, ids=IDS)
def test_arrays_and_tensors_are_sent_as_their_bytes(kind: ElementType) -> None:
    array = EVERY.view(dtype_of(kind)).reshape(2, 128)
    for given in (array, array[:, ::2]):
        tensor = messages.to_tensor("logits", given)
        assert tensor.dtype == kind.data_type
        assert tensor.data == given.tobytes()
        received = wire.to_array(messages.received(tensor))
        assert received.dtype == dtype_of(kind)
        assert received.tobytes() == given.tobytes()


@pytest.mark.parametrize("kind", FLOAT8_TYPES, ids=IDS)
def test_tensors_of_pytorch_are_sent_as_their_bytes(kind: ElementType) -> None:
    torch = pytest.importorskip("torch")
    dtype = getattr(torch, kind.name, None)
    if dtype is None:
        pytest.skip("this PyTorch has no float8")
    logits = torch.from_numpy(EVERY.copy()).view(dtype)
    tensor = messages.to_tensor("logits", logits)
    assert tensor.dtype == kind.data_type
    assert tensor.data == EVERY.tobytes()


@pytest.mark.parametrize("kind", FLOAT8_TYPES, ids=IDS)
def test_without_ml_dtypes_results_are_widened(
    kind: ElementType, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensor = messages.to_tensor("logits", EVERY.view(dtype_of(kind)))
    monkeypatch.setattr(wire, "_ml_dtypes", None)
    received = wire.to_array(messages.received(tensor))
    assert received.dtype == np.float32
    assert np.array_equal(received, float8.values(kind), equal_nan=True)


def test_names_and_dtypes_ask_for_a_gradient_of_float8() -> None:
    logits = np.zeros(3, np.float32)
    for asked in ("float8_e5m2", ml_dtypes.float8_e5m2, np.dtype(ml_dtypes.float8_e5m2)):
        request = messages.to_request(logits, logits, gradient_dtype=asked)
        assert request.spec.gradient_dtype == tensor_pb2.DATA_TYPE_FLOAT8_E5M2
    with pytest.raises(ValueError, match="^gradient_dtype: 'float8_e4m3' is none of float32, "):
        messages.to_request(logits, logits, gradient_dtype=ml_dtypes.float8_e4m3)


def test_another_float8_and_bytes_without_a_type_are_refused_with_a_hint() -> None:
    with pytest.raises(TypeError, match="^logits: dtype float8_e4m3b11fnuz .* float8_e5m2$"):
        messages.to_tensor("logits", np.zeros(3, ml_dtypes.float8_e4m3b11fnuz))
    with pytest.raises(TypeError, match=r"; numpy.load\(\) reads both types of float8 so"):
        messages.to_tensor("logits", np.zeros(3, "V1"))


def test_bits_are_made_of_float8_targets() -> None:
    targets = np.array([1, 0, 1], ml_dtypes.float8_e5m2)
    assert lossd.bits(targets).packed.tolist() == [5]
