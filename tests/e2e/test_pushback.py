"""A refusal says when to come back: later with each attempt, if no queue is to be waited for."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from lossd.v1 import loss_service_pb2, tensor_pb2
from running_server import running_server

CONFIG = Path(__file__).parents[2] / "client" / "service_config" / "service_config.json"
HALF = 1 << 17  # one window of the server


@contextmanager
def held_place(channel: grpc.Channel) -> Iterator[None]:
    """Holds one of the server's places with a stream that waits for its second half."""
    messages: queue.SimpleQueue[loss_service_pb2.StreamLossRequest | None] = queue.SimpleQueue()
    header = loss_service_pb2.StreamLossHeader(shape=[2 * HALF])
    chunk = loss_service_pb2.StreamLossChunk(logits=bytes(4 * HALF), targets=bytes(4 * HALF))
    messages.put(loss_service_pb2.StreamLossRequest(header=header))
    messages.put(loss_service_pb2.StreamLossRequest(chunk=chunk))
    call = channel.stream_stream(
        "/lossd.v1.LossService/StreamLoss",
        request_serializer=loss_service_pb2.StreamLossRequest.SerializeToString,
        response_deserializer=loss_service_pb2.StreamLossResponse.FromString,
    )(iter(messages.get, None))
    next(call)  # the gradient of the first half: the stream has been admitted
    yield
    messages.put(loss_service_pb2.StreamLossRequest(chunk=chunk))
    messages.put(None)
    *_, last = call
    assert last.HasField("summary")


def pushback_ms(channel: grpc.Channel) -> int:
    """Returns the pushback of the last attempt of a call that is refused."""
    number = tensor_pb2.Tensor(values=[0.0])
    compute = channel.unary_unary(
        "/lossd.v1.LossService/ComputeLoss",
        request_serializer=loss_service_pb2.ComputeLossRequest.SerializeToString,
        response_deserializer=loss_service_pb2.ComputeLossResponse.FromString,
    )
    with pytest.raises(grpc.RpcError) as refused:
        compute(loss_service_pb2.ComputeLossRequest(logits=number, targets=number), timeout=60)
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    return int(dict(refused.value.trailing_metadata())["grpc-retry-pushback-ms"])


def test_the_delay_grows_with_the_attempts_of_grpcs_own_retries() -> None:
    retries = [("grpc.service_config", CONFIG.read_text())]
    with (
        running_server("--max_inflight_requests=1") as server,
        grpc.insecure_channel(server.address, [("grpc.enable_retries", 0)]) as once,
        grpc.insecure_channel(server.address, retries) as five_times,
        held_place(once),
    ):
        first = pushback_ms(once)
        fifth = pushback_ms(five_times)
    # 100 ms, doubled four times, and a fifth more or less; rounded up to milliseconds.
    assert 80 <= first <= 121
    assert 1280 <= fifth <= 1921
