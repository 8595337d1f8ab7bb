"""Reads the client's bytes with the generated code, which would write the same bytes."""

from __future__ import annotations

from typing import Any

from lossd import conversion, encoding
from lossd.memory_references import MemoryReferences
from lossd.reply import Received
from lossd.v1 import loss_service_pb2, tensor_pb2


def read(call: conversion.Call) -> loss_service_pb2.ComputeLossRequest:
    request = loss_service_pb2.ComputeLossRequest.FromString(call.request)
    assert call.request == request.SerializeToString(deterministic=True)
    return request


def to_request(logits: Any, targets: Any, **options: Any) -> loss_service_pb2.ComputeLossRequest:
    return read(conversion.to_call(logits, targets, **options))


def to_tensor(name: str, array: Any) -> tensor_pb2.Tensor:
    return _tensor(conversion.tensor_field(2, name, array))


def to_targets(
    targets: Any, references: MemoryReferences = conversion.NOTHING_SHARED
) -> tensor_pb2.Tensor:
    return _tensor(conversion.targets_field(2, targets, references))


def received(tensor: tensor_pb2.Tensor) -> Received:
    """Returns a tensor as if it had come in a reply."""
    reply = loss_service_pb2.ComputeLossResponse(gradient=tensor).SerializeToString()
    parsed = conversion.reply.parse(reply).gradient
    assert parsed is not None
    return parsed


def _tensor(field: list[encoding.Buffer]) -> tensor_pb2.Tensor:
    message = b"".join(field)
    request = loss_service_pb2.ComputeLossRequest.FromString(message)
    assert message == request.SerializeToString(deterministic=True)
    return request.logits
