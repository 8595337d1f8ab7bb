"""Replies, read from the bytes of protobuf without copying a tensor.

The tensors are cut out, and the generated code reads the rest.
"""

from __future__ import annotations

import functools
import math
from datetime import timedelta
from typing import NamedTuple

import grpc
from google.protobuf.message import DecodeError

from lossd import element_type, encoding
from lossd.element_type import ElementType
from lossd.errors import LossdError
from lossd.result import Execution
from lossd.v1 import loss_service_pb2

_VARINT, _FIXED64, _BLOCK, _FIXED32 = 0, 1, 2, 5  # the wire types
_TOO_LONG = "a field ends after its message"


def _key(number: int, kind: int) -> int:
    return number << 3 | kind


# The keys of the tensors of a ComputeLossResponse, and of the fields of a Tensor.
_LOSSES, _GRADIENT, _SECOND_DERIVATIVE = _key(2, _BLOCK), _key(3, _BLOCK), _key(9, _BLOCK)
_TENSORS = (_LOSSES, _GRADIENT, _SECOND_DERIVATIVE)
_DTYPE, _SHAPE, _DIMENSION, _DATA = (
    _key(1, _VARINT),
    _key(2, _BLOCK),
    _key(2, _VARINT),
    _key(3, _BLOCK),
)
_OF_TENSOR = frozenset((_DTYPE, _SHAPE, _DIMENSION, _DATA))

# The parts of a StreamLossResponse.
STREAM_GRADIENT, STREAM_SUMMARY, STREAM_LOSSES = _key(1, _BLOCK), _key(2, _BLOCK), _key(3, _BLOCK)
STREAM_SECOND_DERIVATIVE = _key(4, _BLOCK)
_STREAM_PARTS = (STREAM_GRADIENT, STREAM_SUMMARY, STREAM_LOSSES, STREAM_SECOND_DERIVATIVE)


class Received(NamedTuple):
    """A tensor of a reply: its bytes are `message[first:first + byte_size]`."""

    element_type: ElementType
    shape: tuple[int, ...]
    message: bytes
    first: int
    byte_size: int


class Reply(NamedTuple):
    """A ComputeLossResponse; the tensors are not in `others`."""

    others: loss_service_pb2.ComputeLossResponse
    losses: Received | None
    gradient: Received | None
    second_derivative: Received | None = None


class Expected(NamedTuple):
    """The gradient with which a reply ends if it is as usual."""

    header: bytes  # of its field
    element_type: ElementType
    shape: tuple[int, ...]
    byte_size: int


@functools.lru_cache(maxsize=1024)
def expected(data_type: int, shape: tuple[int, ...]) -> Expected:
    """Returns the gradient of this type and shape."""
    kind = element_type.by_data_type(data_type)
    byte_size = kind.byte_size(math.prod(shape))
    header = encoding.tensor_header(_GRADIENT >> 3, data_type, shape, byte_size)
    return Expected(header, kind, shape, byte_size)


def parse(message: bytes, usual: Expected | None = None) -> Reply:
    """Returns the parts of a ComputeLossResponse; LossdError if the bytes are none.

    A reply that ends with the gradient `usual`, and has no other tensor, is read faster.
    """
    if usual is not None:
        header, kind, shape, byte_size = usual
        first = len(message) - byte_size
        end = first - len(header)
        if end >= 0 and message.startswith(header, end):
            try:
                others = loss_service_pb2.ComputeLossResponse.FromString(message[:end])
            except DecodeError:
                return _parse(message)
            # The bytes before are a message, so the next field does begin there.
            if not others.HasField("losses") and not others.HasField("second_derivative"):
                return Reply(others, None, Received(kind, shape, message, first, byte_size))
    return _parse(message)


def _parse(message: bytes) -> Reply:
    tensors: dict[int, Received] = {}
    others = []  # what lies between the tensors
    begin = first = 0
    end = len(message)
    try:
        while first < end:
            key = message[first]
            if key not in _TENSORS:
                first = _skip(message, first)
                continue
            others.append(message[begin:first])
            size, first = _number(message, first + 1)
            begin = first + size
            tensors[key] = _tensor(message, first, begin)
            first = begin
        if first > end:
            raise ValueError(_TOO_LONG)
        others.append(message[begin:])
        rest = b"".join(others)
        return Reply(
            loss_service_pb2.ComputeLossResponse.FromString(rest),
            *(tensors.get(key) for key in _TENSORS),
        )
    except (IndexError, ValueError, KeyError, OverflowError, DecodeError) as error:
        raise _garbage("ComputeLossResponse", error) from error


def execution(message: loss_service_pb2.Execution) -> Execution:
    """Returns how the server computed a request."""
    queue_time, compute_time = message.queue_time, message.compute_time
    return Execution(
        message.backend,
        message.batch_requests,
        message.batch_elements,
        timedelta(0, queue_time.seconds, (queue_time.nanos + 500) // 1000),
        timedelta(0, compute_time.seconds, (compute_time.nanos + 500) // 1000),
    )


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
            if key in _STREAM_PARTS:
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
    """Returns the place after a field."""
    kind = message[first] & 7
    first += 1
    while message[first - 1] > 0x7F:  # a key of several bytes
        first += 1
    if kind == _FIXED64:
        return first + 8
    if kind == _FIXED32:
        return first + 4
    value, first = _number(message, first)
    if kind == _VARINT:
        return first
    if kind == _BLOCK and value >= 0:
        return first + value
    raise ValueError(f"a field of the unknown wire type {kind}")
