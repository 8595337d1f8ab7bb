"""Between NumPy and messages, without a server."""

from __future__ import annotations

import grpc
import numpy as np
import pytest
from lossd import conversion
from lossd.errors import from_rpc_error
from lossd.v1 import loss_service_pb2, loss_spec_pb2, tensor_pb2


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("<f4", tensor_pb2.DATA_TYPE_FLOAT32),
        (">f8", tensor_pb2.DATA_TYPE_FLOAT64),
        ("u1", tensor_pb2.DATA_TYPE_UINT8),
        ("?", tensor_pb2.DATA_TYPE_BOOL),
        ("<i4", tensor_pb2.DATA_TYPE_INT32),
        (">i8", tensor_pb2.DATA_TYPE_INT64),
    ],
)
def test_arrays_are_sent_little_endian_and_come_back(dtype: str, expected: int) -> None:
    array = np.array([[1, 0, 1], [0, 1, 1]], dtype=dtype)
    tensor = conversion.to_tensor("targets", array)
    assert tensor.dtype == expected
    assert tensor.shape == [2, 3]
    assert np.array_equal(conversion.to_array(tensor), array)


def test_arrays_that_are_not_contiguous_are_sent_in_row_major_order() -> None:
    array = np.arange(12, dtype=np.float32).reshape(3, 4).T[::2]
    tensor = conversion.to_tensor("logits", array)
    assert np.array_equal(conversion.to_array(tensor), array)


def test_a_number_is_a_tensor_of_rank_0() -> None:
    tensor = conversion.to_tensor("logits", np.float64(2.5))
    assert tensor.shape == []
    assert len(tensor.data) == 8


def test_an_empty_array_keeps_its_shape() -> None:
    tensor = conversion.to_tensor("logits", np.zeros((0, 3), dtype=np.float32))
    assert tensor.shape == [0, 3]
    assert tensor.WhichOneof("storage") == "data"


def test_another_dtype_is_refused_by_the_arguments_name() -> None:
    with pytest.raises(TypeError, match="weights: dtype complex64 is none of float32"):
        conversion.to_tensor("weights", np.zeros(2, dtype=np.complex64))


@pytest.mark.parametrize("argument", ["reduction", "normalizer", "nan_policy", "kind"])
@pytest.mark.parametrize("value", ["median", "unspecified"])
def test_an_unknown_option_is_refused_by_its_name(argument: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"{argument}: '{value}' is none of"):
        conversion.to_request(np.zeros(1), np.zeros(1), **{argument: value})  # type: ignore[arg-type]


def test_options_become_the_spec() -> None:
    request = conversion.to_request(
        np.zeros(2, dtype=np.float32),
        np.zeros(2, dtype=np.float32),
        weights=np.ones(2),
        reduction="none",
        loss_weight=0.0,
        ignore_target=-1,
        label_smoothing=0.1,
        gradient=False,
        target_range="any",
        request_id="r1",
    )
    spec = request.spec
    assert spec.reduction == loss_spec_pb2.REDUCTION_NONE
    assert spec.HasField("loss_weight")
    assert spec.ignore_target == -1
    assert spec.gradient == loss_spec_pb2.GRADIENT_MODE_OMIT
    assert spec.target_range == loss_spec_pb2.TARGET_RANGE_ANY
    assert request.HasField("weights")
    assert not request.HasField("pos_weight")
    assert request.request_id == "r1"


def test_a_reply_without_gradient_has_none() -> None:
    reply = loss_service_pb2.ComputeLossResponse(loss=2.5, valid_count=3)
    result = conversion.to_result(reply)
    assert result.gradient is None
    assert result.losses is None
    assert (result.loss, result.valid_count) == (2.5, 3)


class Refusal(grpc.RpcError):
    """A failed call with these trailers."""

    def __init__(self, trailers: tuple[tuple[str, str], ...] | None) -> None:
        self._trailers = trailers

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.RESOURCE_EXHAUSTED

    def details(self) -> str | None:
        return "the byte budget is full"

    def trailing_metadata(self) -> tuple[tuple[str, str], ...] | None:
        return self._trailers


@pytest.mark.parametrize(
    ("trailers", "seconds"),
    [
        (None, None),
        ((("other", "7"),), None),
        ((("grpc-retry-pushback-ms", "250"),), 0.25),
        ((("grpc-retry-pushback-ms", "0"),), 0.0),
        ((("grpc-retry-pushback-ms", "-1"),), None),  # gRPC's word for: never
        ((("grpc-retry-pushback-ms", "soon"),), None),
    ],
)
def test_the_time_to_come_again_is_read_from_the_trailers(
    trailers: tuple[tuple[str, str], ...] | None, seconds: float | None
) -> None:
    error = from_rpc_error(Refusal(trailers))
    assert error.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert error.retry_after == seconds
    assert str(error) == "RESOURCE_EXHAUSTED: the byte budget is full"
