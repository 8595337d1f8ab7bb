"""Replies, read from the bytes of protobuf without copying a tensor."""

from __future__ import annotations

import math
import struct
from datetime import timedelta
from typing import NamedTuple

import grpc

from lossd import element_type
from lossd.element_type import ElementType
from lossd.errors import LossdError
from lossd.result import Execution

_DOUBLE = struct.Struct("<d")
_VARINT, _FIXED64, _BLOCK, _FIXED32 = 0, 1, 2, 5  # the wire types
_TOO_LONG = "a field ends after its message"


def _key(number: int, kind: int) -> int:
    return number << 3 | kind


# The keys of the fields of loss_service.proto and tensor.proto that are read.
_LOSS, _LOSSES, _GRADIENT = _key(1, _FIXED64), _key(2, _BLOCK), _key(3, _BLOCK)
_NORMALIZER, _VALID_COUNT = _key(4, _FIXED64), _key(5, _VARINT)
_EXECUTION, _REQUEST_ID, _NAN_COUNT = _key(6, _BLOCK), _key(7, _BLOCK), _key(8, _VARINT)
_DTYPE, _SHAPE, _DIMENSION, _DATA = (
    _key(1, _VARINT),
    _key(2, _BLOCK),
    _key(2, _VARINT),
    _key(3, _BLOCK),
)
_BACKEND, _BATCH_REQUESTS, _BATCH_ELEMENTS = _key(1, _BLOCK), _key(2, _VARINT), _key(3, _VARINT)
_QUEUE_TIME, _COMPUTE_TIME = _key(4, _BLOCK), _key(5, _BLOCK)
_SECONDS, _NANOSECONDS = _key(1, _VARINT), _key(2, _VARINT)
_COUNTS_AND_BLOCKS = frozenset(
    (_LOSSES, _GRADIENT, _VALID_COUNT, _EXECUTION, _REQUEST_ID, _NAN_COUNT)
)
_OF_TENSOR = frozenset((_DTYPE, _SHAPE, _DIMENSION, _DATA))
_OF_EXECUTION = frozenset((_BACKEND, _BATCH_REQUESTS, _BATCH_ELEMENTS, _QUEUE_TIME, _COMPUTE_TIME))

# The parts of a StreamLossResponse.
STREAM_GRADIENT, STREAM_SUMMARY, STREAM_LOSSES = _key(1, _BLOCK), _key(2, _BLOCK), _key(3, _BLOCK)


class Received(NamedTuple):
    """A tensor of a reply: its bytes are `message[first:first + byte_size]`."""

    element_type: ElementType
    shape: tuple[int, ...]
    message: bytes
    first: int
    byte_size: int


class Reply(NamedTuple):
    """A ComputeLossResponse."""

    loss: float
    losses: Received | None
    gradient: Received | None
    normalizer: float
    valid_count: int
    execution: Execution
    request_id: str
    nan_count: int


def parse(message: bytes) -> Reply:
    """Returns the fields of a ComputeLossResponse; LossdError if the bytes are none."""
    try:
        return _reply(message)
    except (IndexError, ValueError, KeyError, struct.error, OverflowError) as error:
        raise _garbage("ComputeLossResponse", error) from error


def part(message: bytes) -> tuple[int, int, int]:
    """Returns the key, the first byte and the end of the part of a StreamLossResponse.

    Returns the last of several parts, as protobuf does for a oneof, and (0, 0, 0) for none.
    Raises LossdError if the bytes are no message.
    """
    found = (0, 0, 0)
    first, end = 0, len(message)
    try:
        while first < end:
            key = message[first]
            if key in (STREAM_GRADIENT, STREAM_SUMMARY, STREAM_LOSSES):
                size, first = _number(message, first + 1)
                found = (key, first, first + size)
                first += size
            else:
                first = _skip(message, first)
        if first > end:
            raise ValueError(_TOO_LONG)
    except (IndexError, ValueError) as error:
        raise _garbage("StreamLossResponse", error) from error
    return found


def _garbage(kind: str, error: Exception) -> LossdError:
    return LossdError(grpc.StatusCode.INTERNAL, f"the reply is no {kind}: {error}", None)


def _reply(message: bytes) -> Reply:
    loss = normalizer = 0.0
    losses = gradient = None
    valid_count = nan_count = 0
    execution = _NO_EXECUTION
    request_id = ""
    first, end = 0, len(message)
    while first < end:
        key = message[first]
        if key == _LOSS:
            (loss,) = _DOUBLE.unpack_from(message, first + 1)
            first += 9
            continue
        if key == _NORMALIZER:
            (normalizer,) = _DOUBLE.unpack_from(message, first + 1)
            first += 9
            continue
        if key not in _COUNTS_AND_BLOCKS:
            first = _skip(message, first)
            continue
        value, first = _number(message, first + 1)
        if key == _VALID_COUNT:
            valid_count = value
        elif key == _NAN_COUNT:
            nan_count = value
        else:
            stop = first + value
            if key == _GRADIENT:
                gradient = _tensor(message, first, stop)
            elif key == _EXECUTION:
                execution = _execution(message, first, stop)
            elif key == _LOSSES:
                losses = _tensor(message, first, stop)
            else:
                request_id = message[first:stop].decode()
            first = stop
    if first > end:
        raise ValueError(_TOO_LONG)
    return Reply(loss, losses, gradient, normalizer, valid_count, execution, request_id, nan_count)


def _tensor(message: bytes, first: int, end: int) -> Received:
    data_type = data = byte_size = 0
    shape: list[int] = []
    while first < end:
        key = message[first]
        if key not in _OF_TENSOR:
            first = _skip(message, first)
            continue
        value, first = _number(message, first + 1)
        if key == _DTYPE:
            data_type = value
        elif key == _DIMENSION:
            shape.append(value)
        else:
            stop = first + value
            if key == _DATA:
                data, byte_size = first, value
            else:
                at = first
                while at < stop:
                    size, at = _number(message, at)
                    shape.append(size)
            first = stop
    kind = element_type.by_data_type(data_type)
    if first > end or byte_size != kind.byte_size(math.prod(shape)):
        raise ValueError(f"{byte_size} bytes of {kind.name} for the shape {tuple(shape)}")
    return Received(kind, tuple(shape), message, data, byte_size)


def _execution(message: bytes, first: int, end: int) -> Execution:
    backend = ""
    requests = elements = 0
    queue_time = compute_time = NO_TIME
    while first < end:
        key = message[first]
        if key not in _OF_EXECUTION:
            first = _skip(message, first)
            continue
        value, first = _number(message, first + 1)
        if key == _BATCH_REQUESTS:
            requests = value
        elif key == _BATCH_ELEMENTS:
            elements = value
        else:
            stop = first + value
            if key == _BACKEND:
                backend = message[first:stop].decode()
            elif key == _QUEUE_TIME:
                queue_time = _duration(message, first, stop)
            else:
                compute_time = _duration(message, first, stop)
            first = stop
    return Execution(backend, requests, elements, queue_time, compute_time)


def _duration(message: bytes, first: int, end: int) -> timedelta:
    seconds = nanoseconds = 0
    while first < end:
        key = message[first]
        if key == _SECONDS:
            seconds, first = _number(message, first + 1)
        elif key == _NANOSECONDS:
            nanoseconds, first = _number(message, first + 1)
        else:
            first = _skip(message, first)
    return timedelta(0, seconds, nanoseconds / 1000)


def _number(message: bytes, first: int) -> tuple[int, int]:
    """Returns a signed integer of 64 bits and the place after it."""
    value = message[first]
    first += 1
    if value < 0x80:
        return value, first
    value &= 0x7F
    for shift in range(7, 70, 7):
        group = message[first]
        first += 1
        value |= (group & 0x7F) << shift
        if group < 0x80:
            value &= (1 << 64) - 1
            return value - (1 << 64) if value >> 63 else value, first
    raise ValueError("a number of more than 64 bits")


def _skip(message: bytes, first: int) -> int:
    """Returns the place after a field that this client does not know."""
    key, first = _number(message, first)
    kind = key & 7
    if kind == _VARINT:
        return _number(message, first)[1]
    if kind == _BLOCK:
        size, first = _number(message, first)
        if size < 0:
            raise ValueError("a field of less than nothing")
        return first + size
    if kind in (_FIXED64, _FIXED32):
        return first + (8 if kind == _FIXED64 else 4)
    raise ValueError(f"a field of the unknown wire type {kind}")


NO_TIME = timedelta()
_NO_EXECUTION = Execution("", 0, 0, NO_TIME, NO_TIME)
