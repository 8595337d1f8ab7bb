"""Compares the reply that the client reads by hand with the generated code's."""

from __future__ import annotations

import dataclasses
import pickle
from datetime import timedelta
from typing import Any

import grpc
import lossd
import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from lossd import conversion, reply, wire
from lossd.v1 import loss_service_pb2, tensor_pb2

GRADIENT = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)


def tensor(array: Any) -> tensor_pb2.Tensor:
    return tensor_pb2.Tensor(
        dtype=tensor_pb2.DATA_TYPE_FLOAT32, shape=array.shape, data=array.tobytes()
    )


FULL = loss_service_pb2.ComputeLossResponse(
    loss=1.5,
    losses=tensor(GRADIENT * 2),
    gradient=tensor(GRADIENT),
    second_derivative=tensor(GRADIENT * 3),
    normalizer=-0.0,
    valid_count=-5,
    execution=loss_service_pb2.Execution(
        backend="cpu/ä",
        batch_requests=300,
        batch_elements=2**40,
        queue_time=Duration(seconds=3, nanos=1000),
        compute_time=Duration(nanos=999_999_000),
    ),
    request_id="r" * 200,
    nan_count=2**63 - 1,
)


def test_every_field_is_read() -> None:
    got = reply.parse(FULL.SerializeToString())
    others = loss_service_pb2.ComputeLossResponse()
    others.CopyFrom(FULL)
    others.ClearField("losses")
    others.ClearField("gradient")
    others.ClearField("second_derivative")
    assert got.others == others
    result = conversion.to_call([0.5], [1.0]).result(FULL.SerializeToString())
    assert (result.loss, result.normalizer, result.valid_count) == (1.5, 0.0, -5)
    assert np.signbit(result.normalizer)
    assert (result.request_id, result.nan_count) == ("r" * 200, 2**63 - 1)
    execution = result.execution
    assert (execution.backend, execution.batch_requests) == ("cpu/ä", 300)
    assert execution.batch_elements == 2**40
    assert execution.queue_time == timedelta(seconds=3, microseconds=1)
    assert execution.compute_time == FULL.execution.compute_time.ToTimedelta()
    assert got.losses is not None
    assert got.gradient is not None
    np.testing.assert_array_equal(wire.to_array(got.gradient), GRADIENT)
    np.testing.assert_array_equal(wire.to_array(got.losses), GRADIENT * 2)
    assert got.second_derivative is not None
    np.testing.assert_array_equal(wire.to_array(got.second_derivative), GRADIENT * 3)
    np.testing.assert_array_equal(result.second_derivative, GRADIENT * 3)


def test_an_empty_reply_has_the_defaults() -> None:
    got = conversion.to_call([0.5], [1.0]).result(b"")
    assert (got.loss, got.valid_count, got.request_id, got.gradient) == (0, 0, "", None)
    assert got.execution == lossd.Execution("", 0, 0, timedelta(), timedelta())


def test_fields_may_come_in_any_order_and_unknown_ones_are_skipped() -> None:
    unknown = b"".join(
        (
            b"\x78\x05",  # a varint of number 15
            b"\x79" + bytes(8),
            b"\x7d" + bytes(4),
            b"\x7a\x03abc",
            b"\xf8\xff\xff\xff\x0f\x01",  # of the largest number
            b"\x08\x07",  # the loss's number, but a varint
        )
    )
    parts = [
        message.SerializeToString()
        for message in (
            loss_service_pb2.ComputeLossResponse(gradient=FULL.gradient),
            loss_service_pb2.ComputeLossResponse(nan_count=3),
            loss_service_pb2.ComputeLossResponse(execution=FULL.execution),
            loss_service_pb2.ComputeLossResponse(loss=2.5),
        )
    ]
    got = reply.parse(unknown.join(parts) + unknown)
    others = got.others
    assert (others.loss, others.nan_count, others.execution.batch_requests) == (2.5, 3, 300)
    assert got.gradient is not None
    np.testing.assert_array_equal(wire.to_array(got.gradient), GRADIENT)


def test_a_gradient_is_a_read_only_view_of_the_reply() -> None:
    message = FULL.SerializeToString()
    result = conversion.to_call([0.5], [1.0]).result(message)
    assert not result.gradient.flags.writeable
    assert not result.gradient.flags.owndata
    base = np.frombuffer(message, np.uint8)
    assert np.shares_memory(result.gradient, base)
    assert np.shares_memory(result.losses, base)


def outcome(call: conversion.Call, message: bytes) -> tuple[object, ...]:
    try:
        result = call.result(message)
    except lossd.LossdError as error:
        return (str(error),)
    arrays = (result.losses, result.gradient)
    return (
        *(array if array is None else (array.dtype, array.tolist()) for array in arrays),
        result.loss,
        result.normalizer,
        result.valid_count,
        result.nan_count,
        result.execution,
        result.request_id,
    )


def test_a_usual_reply_is_read_the_same() -> None:
    others = loss_service_pb2.ComputeLossResponse(loss=2.5, request_id="r", valid_count=3)
    others.execution.backend = "b"
    before = others.SerializeToString()
    gradient = loss_service_pb2.ComputeLossResponse(gradient=tensor(GRADIENT))
    tail = gradient.SerializeToString()
    usual = reply.expected(tensor_pb2.DATA_TYPE_FLOAT32, GRADIENT.shape)
    assert tail.startswith(usual.header)
    assert reply.without_usual(before + tail, usual) == others
    assert reply.without_tensors(before) == others
    call = conversion.to_call(GRADIENT, GRADIENT)
    assert call.usual == usual
    for message in (
        before + tail,
        tail + before,
        tail,
        FULL.SerializeToString() + tail,
        before,
        loss_service_pb2.ComputeLossResponse(request_id="r" * 2000).SerializeToString(),
        loss_service_pb2.ComputeLossResponse(second_derivative=tensor(GRADIENT)).SerializeToString()
        + tail,
        b"\x3a" + bytes([len(tail)]) + tail,  # a request_id of the same bytes
    ):
        seen = outcome(call, message)
        assert seen == outcome(call._replace(usual=None), message)
        try:
            whole = loss_service_pb2.ComputeLossResponse.FromString(message)
        except DecodeError:
            assert len(seen) == 1
        else:
            assert [part is not None for part in seen[:2]] == [
                whole.HasField("losses"),
                whole.HasField("gradient"),
            ]
            assert seen[2:5] == (whole.loss, whole.normalizer, whole.valid_count)


def test_a_result_that_is_read_later_is_like_any_other() -> None:
    whole = conversion.to_call([0.5], [1.0]).result(FULL.SerializeToString())
    names = {field.name for field in dataclasses.fields(lossd.LossResult)}
    copy = pickle.loads(pickle.dumps(whole))
    assert vars(copy).keys() == names
    for name in names - {"losses", "gradient", "second_derivative"}:
        fresh = conversion.to_call([0.5], [1.0]).result(FULL.SerializeToString())
        assert getattr(fresh, name) == getattr(whole, name) == getattr(copy, name)
        assert getattr(fresh, name) is getattr(fresh, name)
    np.testing.assert_array_equal(copy.gradient, whole.gradient)
    np.testing.assert_array_equal(copy.second_derivative, whole.second_derivative)
    fresh = conversion.to_call([0.5], [1.0]).result(FULL.SerializeToString())
    assert f"request_id={FULL.request_id!r}" in repr(fresh)
    with pytest.raises(AttributeError, match="'LossResult' object has no attribute 'lose'"):
        _ = fresh.lose  # type: ignore[attr-defined]
    with pytest.raises(dataclasses.FrozenInstanceError):
        fresh.loss = 1.0  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(copy)).execution == whole.execution


def test_bytes_that_are_no_reply_are_an_error_of_the_server() -> None:
    whole = FULL.SerializeToString()
    wrong = loss_service_pb2.ComputeLossResponse(gradient=tensor(GRADIENT))
    wrong.gradient.shape[0] = 7
    for bad in (
        b"\x09\x00",
        b"\x1a\x05",
        b"\x28" + b"\xff" * 11,
        b"\x0b",
        b"\x3a\x01\xff",
        b"\x1a\x05",
        wrong.SerializeToString(),
        whole[:-1],
    ):
        with pytest.raises(lossd.LossdError, match="INTERNAL: the reply is no ") as raised:
            reply.parse(bad)
        assert raised.value.code is grpc.StatusCode.INTERNAL
    for length in range(len(whole)):  # whatever is cut off, nothing else is raised
        try:
            reply.parse(whole[:length])
        except lossd.LossdError:
            continue


def test_the_part_of_a_streams_message_is_found() -> None:
    for name, key, value in (
        ("gradient", reply.STREAM_GRADIENT, b"abc"),
        ("losses", reply.STREAM_LOSSES, b"x" * 300),
        ("second_derivative", reply.STREAM_SECOND_DERIVATIVE, b"y" * 300),
    ):
        message = loss_service_pb2.StreamLossResponse(**{name: value}).SerializeToString()  # type: ignore[arg-type]
        found, first, end = reply.part(b"\x78\x05" + message)
        assert (found, (b"\x78\x05" + message)[first:end]) == (key, value)
    assert reply.part(b"") == (0, 0, 0)
    for bad in (b"\x0a\x05a", b"\x0b", b"\x0a"):
        with pytest.raises(lossd.LossdError, match="no StreamLossResponse"):
            reply.part(bad)
