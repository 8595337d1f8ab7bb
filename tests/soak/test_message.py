"""The soak's requests, written byte by byte, mean what protobuf's own parser reads."""

from __future__ import annotations

import math

import pytest
from lossd.v1 import loss_service_pb2, tensor_pb2

from soak import message


def test_the_small_request() -> None:
    request = loss_service_pb2.ComputeLossRequest.FromString(message.small_request())
    assert tuple(request.logits.values) == message.LOGITS
    assert tuple(request.targets.values) == message.TARGETS


def test_the_small_loss_is_the_mean_of_both_cross_entropies() -> None:
    def sigmoid(x: float) -> float:
        return 1 / (1 + math.exp(-x))

    assert message.small_loss() == pytest.approx(
        (-math.log(sigmoid(0.5)) - math.log(1 - sigmoid(-1.0))) / 2, rel=1e-15
    )


@pytest.mark.parametrize("elements", [1, 300])
def test_a_large_request_has_that_many_zeros(elements: int) -> None:
    request = loss_service_pb2.ComputeLossRequest.FromString(message.large_request(elements))
    for tensor in (request.logits, request.targets):
        assert tensor.dtype == tensor_pb2.DATA_TYPE_FLOAT32
        assert list(tensor.shape) == [elements]
        assert tensor.data == bytes(4 * elements)


def test_a_stream_of_one_chunk() -> None:
    header = loss_service_pb2.StreamLossRequest.FromString(message.stream_header(300)).header
    assert list(header.shape) == [300]
    assert header.logits_dtype == header.targets_dtype == tensor_pb2.DATA_TYPE_FLOAT32
    chunk = loss_service_pb2.StreamLossRequest.FromString(message.stream_chunk(300)).chunk
    assert chunk.logits == chunk.targets == bytes(1200)


def test_the_loss_of_a_reply() -> None:
    reply = loss_service_pb2.ComputeLossResponse(loss=0.25, valid_count=2)
    assert message.loss_of(reply.SerializeToString()) == 0.25
    with pytest.raises(ValueError, match="does not begin with a loss"):
        message.loss_of(loss_service_pb2.ComputeLossResponse(valid_count=2).SerializeToString())


def test_health_messages() -> None:
    assert message.health_request("") == b""
    assert message.health_request("a") == b"\x0a\x01a"
    assert message.health_status(b"\x08\x02") == 2
    assert message.health_status(b"") == 0
