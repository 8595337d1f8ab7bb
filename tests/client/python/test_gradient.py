"""The places that a caller gives for both derivatives, without a server."""

from __future__ import annotations

from typing import Any

import lossd
import messages
import numpy as np
import pytest
from lossd import conversion
from lossd.streaming import LossStream
from lossd.v1 import loss_service_pb2, loss_spec_pb2, tensor_pb2
from stub_gpu import StubGpus, cuda_array

VALUES = np.linspace(-4, 4, 24, dtype=np.float32).reshape(4, 6)
SECOND: dict[str, Any] = {"second_derivative": True}


def place(dtype: str = "f4") -> np.ndarray:
    return np.zeros(VALUES.shape, dtype)


def read_only() -> np.ndarray:
    array = place()
    array.flags.writeable = False
    return array


def reply_of(**derivatives: np.ndarray) -> bytes:
    tensors = {name: messages.to_tensor("logits", array) for name, array in derivatives.items()}
    return loss_service_pb2.ComputeLossResponse(loss=2.5, **tensors).SerializeToString()


@pytest.mark.parametrize("make", [conversion.to_call, LossStream])
@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"second_derivative_out": place()}, "without second_derivative=True there is none"),
        ({**SECOND, "second_derivative_out": place()[:1]}, r"shape \(1, 6\) is not the logits'"),
        ({**SECOND, "second_derivative_out": place("i4")}, "dtype int32 is none of float32"),
        ({**SECOND, "second_derivative_out": place(">f4")}, "dtype >f4 is not little-endian"),
        ({**SECOND, "second_derivative_out": read_only()}, "must be C-contiguous and writable"),
        (
            {**SECOND, "second_derivative_out": place(), "gradient_out": place("f8")},
            "dtype float32 is not that of the gradient, float64",
        ),
        (
            {**SECOND, "second_derivative_out": place(), "gradient_dtype": "float16"},
            "dtype float32 is not that of the gradient, float16",
        ),
    ],
)
def test_a_place_that_does_not_fit_is_named(make: Any, options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=f"^second_derivative_out: {text}"):
        make(VALUES, VALUES, **options)


@pytest.mark.parametrize("make", [conversion.to_call, LossStream])
def test_places_that_overlap_are_refused(make: Any) -> None:
    memory = np.zeros(2 * VALUES.size, np.float32)
    first, last = (part.reshape(VALUES.shape) for part in np.split(memory, 2))
    shifted = memory[6:30].reshape(VALUES.shape)
    make(VALUES, VALUES, gradient_out=first, second_derivative_out=last, **SECOND)
    for other in (first, shifted):
        with pytest.raises(ValueError, match="^second_derivative_out: overlaps gradient_out"):
            make(VALUES, VALUES, gradient_out=first, second_derivative_out=other, **SECOND)


@pytest.mark.parametrize("dtype", ["float16", "float64", None])
@pytest.mark.parametrize("with_gradient", [True, False])
def test_the_type_of_a_place_is_that_of_both_derivatives(
    dtype: str | None, with_gradient: bool
) -> None:
    out = place(dtype or "f8")
    options = {**SECOND, "second_derivative_out": out, "gradient": with_gradient}
    request = messages.to_request(VALUES, VALUES, gradient_dtype=dtype, **options)
    names = {"float16": tensor_pb2.DATA_TYPE_FLOAT16}
    assert request.spec.gradient_dtype == names.get(str(dtype), tensor_pb2.DATA_TYPE_FLOAT64)
    assert request.spec.second_derivative == loss_spec_pb2.SECOND_DERIVATIVE_MODE_RETURN
    assert not request.HasField("second_derivative_destination")  # nothing is shared


def test_derivatives_of_a_reply_are_copied_to_their_places() -> None:
    out, second_out = place("f8"), place("f8")
    call = conversion.to_call(
        VALUES, VALUES, gradient_out=out, second_derivative_out=second_out, **SECOND
    )
    gradient, second = np.arange(24.0).reshape(4, 6), np.arange(24.0, 48).reshape(4, 6)
    result = call.result(reply_of(gradient=gradient, second_derivative=second))
    assert result.gradient is out
    assert result.second_derivative is second_out
    np.testing.assert_array_equal(out, gradient)
    np.testing.assert_array_equal(second_out, second)
    assert result.loss == 2.5
    # Without a place for the gradient that one alone is a view of the reply.
    call = conversion.to_call(VALUES, VALUES, second_derivative_out=second_out, **SECOND)
    result = call.result(reply_of(gradient=gradient, second_derivative=second + 1))
    np.testing.assert_array_equal(result.gradient, gradient)
    assert result.second_derivative is second_out
    np.testing.assert_array_equal(second_out, second + 1)


def test_a_place_on_a_gpu_is_named_and_nothing_comes_in_the_reply(
    gpus: StubGpus, memory: lossd.SharedMemory
) -> None:
    second_out = cuda_array(gpus, place())
    call = conversion.to_call(
        VALUES,
        VALUES,
        gradient_out=place(),
        second_derivative_out=second_out,
        memory=memory,
        request_id="r",
        **SECOND,
    )
    request = messages.read(call)
    assert request.second_derivative_destination.byte_size == VALUES.nbytes
    assert not request.HasField("gradient_destination")
    assert call.references.names_device_memory
    result = call.result(reply_of(gradient=VALUES))
    assert result.second_derivative is second_out
    np.testing.assert_array_equal(result.gradient, VALUES)
