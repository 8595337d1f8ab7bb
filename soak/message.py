"""Requests as bytes, so that a counterpart needs no generated code."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator

COMPUTE = "/lossd.v1.LossService/ComputeLoss"
STREAM = "/lossd.v1.LossService/StreamLoss"
WATCH = "/grpc.health.v1.Health/Watch"
SERVICE = "lossd.v1.LossService"

LOGITS = (0.5, -1.0)
TARGETS = (1.0, 0.0)
FLOAT32 = 1
EXECUTION = 6  # the field of a reply that says how it was computed


def varint(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(encoded) + bytes([value])


def field(number: int, payload: bytes) -> bytes:
    """Encodes a length-delimited field."""
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def number(number: int, value: int) -> bytes:
    """Encodes a field of an integer type or of an enum."""
    return varint(number << 3) + varint(value)


def small_request() -> bytes:
    """Encodes a ComputeLossRequest of LOGITS and TARGETS as `values`."""
    logits = field(4, struct.pack(f"<{len(LOGITS)}d", *LOGITS))
    targets = field(4, struct.pack(f"<{len(TARGETS)}d", *TARGETS))
    return field(2, logits) + field(3, targets)


def small_loss() -> float:
    """Returns the mean of the cross-entropies of LOGITS and TARGETS."""
    losses = [
        max(x, 0.0) - x * t + math.log1p(math.exp(-abs(x)))
        for x, t in zip(LOGITS, TARGETS, strict=True)
    ]
    return sum(losses) / len(losses)


def tensor_of_zeros(elements: int) -> bytes:
    """Encodes a float32 Tensor of zeros with one dimension."""
    return number(1, FLOAT32) + field(2, varint(elements)) + field(3, bytes(4 * elements))


def large_request(elements: int) -> bytes:
    """Encodes a ComputeLossRequest of two float32 tensors: 8 bytes for an element."""
    tensor = tensor_of_zeros(elements)
    return field(2, tensor) + field(3, tensor)


def stream_header(elements: int) -> bytes:
    """Encodes the first message of a StreamLoss of float32 tensors with one dimension."""
    shape = field(2, varint(elements))
    return field(1, shape + number(3, FLOAT32) + number(4, FLOAT32))


def stream_chunk(elements: int) -> bytes:
    """Encodes a chunk of zeros, for logits and targets."""
    zeros = bytes(4 * elements)
    return field(2, field(1, zeros) + field(2, zeros))


def fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Yields the number of each field with all its bytes; groups and fixed32 are not read."""
    at = 0
    while at < len(message):
        begin = at
        key, at = _varint(message, at)
        if key & 7 == 0:
            _, at = _varint(message, at)
        elif key & 7 == 1:
            at += 8
        else:
            size, at = _varint(message, at)
            at += size
        yield key >> 3, message[begin:at]


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def loss_of(reply: bytes) -> float:
    """Returns a ComputeLossResponse's loss; ValueError if it does not stand at the front."""
    if len(reply) < 9 or reply[0] != 0x09:
        raise ValueError("the reply does not begin with a loss")
    return float(struct.unpack_from("<d", reply, 1)[0])


def health_request(service: str) -> bytes:
    return field(1, service.encode()) if service else b""


def health_status(reply: bytes) -> int:
    """Returns a HealthCheckResponse's status: 1 is SERVING, 2 is NOT_SERVING."""
    return reply[1] if len(reply) == 2 and reply[0] == 0x08 else 0
