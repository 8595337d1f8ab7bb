"""Compares the bytes that the client writes by hand with those of the generated code."""

from __future__ import annotations

from typing import Any

import lossd
import ml_dtypes
import numpy as np
import pytest
from lossd import encoding, streaming
from lossd.v1 import loss_service_pb2, tensor_pb2
from messages import to_request, to_targets

EDGES = [0, 1, 127, 128, 16383, 16384, 2**31, 2**35 - 1, 2**56, 2**63 - 1]


@pytest.mark.parametrize("value", [*EDGES, -1, -(2**63)])
def test_a_number_has_the_bytes_of_protobuf(value: int) -> None:
    expected = tensor_pb2.Identity(diagonal=value).SerializeToString()
    assert encoding.number(1, value) == expected


@pytest.mark.parametrize("count", [0, 1, 2, 300])
def test_lists_of_numbers_have_the_bytes_of_protobuf(count: int) -> None:
    random = np.random.default_rng(count)
    lists = [
        random.choice(EDGES, count),
        random.integers(0, 200, count),
        random.integers(0, 2**63 - 1, count) >> random.integers(0, 63, count),
        -random.integers(0, 2**40, count),
    ]
    for values in lists:
        whole = values.astype(np.int64)
        sparse = tensor_pb2.SparseIndices(row_splits=whole.tolist(), columns=whole[::-1].tolist())
        expected = tensor_pb2.Tensor(shape=[3, 2**40], ones=sparse)
        field = encoding.ones(1, (3, 2**40), whole, whole[::-1].copy())
        assert field == encoding.block(1, expected.SerializeToString())


@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0), (200, 1, 3), (1,) * 30])
@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", ml_dtypes.bfloat16])
def test_a_request_of_any_shape_and_type_has_the_bytes_of_protobuf(
    shape: tuple[int, ...], dtype: Any
) -> None:
    logits = np.zeros(shape, dtype)
    for targets in (np.ones(logits.shape, np.uint8), lossd.identity(-3), lossd.bits(logits)):
        request = to_request(logits, targets)  # compares
        assert request.logits.shape == list(logits.shape)
        assert len(request.logits.data) == logits.nbytes


def test_every_field_of_a_request_has_the_bytes_of_protobuf() -> None:
    values = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)
    request = to_request(
        values,
        lossd.ones([0, 1, 300], np.arange(300), shape=(2, 3)),
        weights=values.astype(np.float64),
        pos_weight=values[0],
        upstream_gradient=2.0,
        gradient_out=np.zeros((2, 3), ml_dtypes.bfloat16),
        kind="asymmetric",
        asymmetric_gamma_negative=4,
        reduction="none",
        loss_weight=0.0,
        ignore_target=0.0,
        nan_policy="propagate",
        target_range="any",
        request_id="ä" * 100,
    )
    assert request.spec.gradient_dtype == tensor_pb2.DATA_TYPE_BFLOAT16
    assert request.request_id == "ä" * 100
    assert to_request([0.5], [1.0]).HasField("spec") is False


@pytest.mark.parametrize(
    "targets", [np.zeros((3, 100), np.uint8), lossd.identity(), lossd.ones([0, 1, 2, 2], [5, 7])]
)
def test_the_messages_of_a_stream_have_the_bytes_of_protobuf(targets: Any) -> None:
    logits = np.arange(300, dtype=np.float32).reshape(3, 100)
    stream = streaming.LossStream(
        logits, targets, weights=logits, pos_weight=logits[0], reduction="sum", request_id="r"
    )
    messages = list(stream.messages())
    assert len(messages) == 2
    for message in messages:
        parsed = loss_service_pb2.StreamLossRequest.FromString(message)
        assert parsed.SerializeToString(deterministic=True) == message
    chunk = loss_service_pb2.StreamLossRequest.FromString(messages[1]).chunk
    assert chunk.logits == chunk.weights == logits.tobytes()


def test_a_stream_is_cut_into_chunks_that_together_are_its_tensors() -> None:
    logits = np.arange(300_001, dtype=np.float64)
    bits = lossd.bits(logits % 3 == 0)
    *_, last = messages = [
        loss_service_pb2.StreamLossRequest.FromString(message)
        for message in streaming.LossStream(logits, bits).messages()
    ]
    assert len(last.chunk.logits) == 8 * (300_001 % (1 << 17))
    assert b"".join(message.chunk.logits for message in messages[1:]) == logits.tobytes()
    assert b"".join(message.chunk.targets for message in messages[1:]) == bits.packed.tobytes()


def test_targets_by_reference_or_empty_have_no_data() -> None:
    assert to_targets(lossd.ones([0], [], shape=(0, 3))).WhichOneof("storage") == "ones"
    assert to_targets(np.zeros((0, 3))).data == b""
