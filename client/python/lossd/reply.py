"""Replies, read from the bytes of protobuf without copying a tensor.

The tensors are cut out, and the generated code reads the rest.
"""

from __future__ import annotations

import functools
import math
from datetime import timedelta
from typing import Any, NamedTuple

import grpc
from google.protobuf.message import DecodeError

from lossd import element_type, encoding, errors
from lossd.element_type import ElementType
from lossd.errors import LossdError
from lossd.result import Execution
from lossd.v1 import loss_service_pb2

# A reply without a tensor is not longer, unless its texts are.
_SHORT = 1024

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

# The key of the entries of a ComputeLossesResponse, and those of an entry's fields.
_ENTRIES = _key(1, _BLOCK)
_ENTRY_ID, _ENTRY_RESPONSE, _ENTRY_FAILURE = _key(1, _VARINT), _key(2, _BLOCK), _key(3, _BLOCK)


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


def without_usual(message: bytes, usual: Expected) -> loss_service_pb2.ComputeLossResponse | None:
    """Returns what a reply has before `usual`, if it ends with that and has no other tensor.

    Otherwise returns None, and parse() reads it. This is faster.
    """
    end = len(message) - usual.byte_size - len(usual.header)
    if end < 0 or not message.startswith(usual.header, end):
        return None
    others = loss_service_pb2.ComputeLossResponse()
    try:
        others.ParseFromString(message[:end])
    except DecodeError:
        return None
    # The bytes before are a message, so the next field does begin there.
    return None if _has_tensor(others, "losses", "second_derivative") else others


def without_tensors(message: bytes) -> loss_service_pb2.ComputeLossResponse | None:
    """Returns a reply that has no tensor and is short; otherwise None, and parse() reads it."""
    if len(message) > _SHORT:
        return None
    others = loss_service_pb2.ComputeLossResponse()
    try:
        others.ParseFromString(message)
    except DecodeError:
        return None
    return None if _has_tensor(others, "losses", "gradient", "second_derivative") else others


def _has_tensor(others: loss_service_pb2.ComputeLossResponse, *names: str) -> bool:
    return any(map(others.HasField, names))


def parse(message: bytes) -> Reply:
    """Returns the parts of a ComputeLossResponse; LossdError if the bytes are none."""
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


def fields(others: loss_service_pb2.ComputeLossResponse) -> dict[str, Any]:
    """Returns the fields of a LossResult that are no tensors."""
    return {
        "loss": others.loss,
        "normalizer": others.normalizer,
        "valid_count": others.valid_count,
        "nan_count": others.nan_count,
        "execution": _execution(others.execution),
        "request_id": others.request_id,
    }


def _execution(message: loss_service_pb2.Execution) -> Execution:
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


def answers(message: bytes) -> list[tuple[int, bytes | LossdError | None]]:
    """Returns the answers of a ComputeLossesResponse: each entry's id, and its response's bytes.

    A failure is given as its error, and an entry that has neither as None. Of several responses
    or failures in an entry the last counts. Raises LossdError if the bytes are no message.
    """
    found: list[tuple[int, bytes | LossdError | None]] = []
    first, end = 0, len(message)
    try:
        while first < end:
            key = message[first]
            if key != _ENTRIES:
                first = _skip(message, first)
                continue
            size, first = _number(message, first + 1)
            found.append(_answer(message, first, first + size))
            first += size
        if first > end:
            raise ValueError(_TOO_LONG)
    except (IndexError, ValueError, DecodeError) as error:
        raise _garbage("ComputeLossesResponse", error) from error
    return found


def _answer(message: bytes, first: int, end: int) -> tuple[int, bytes | LossdError | None]:
    number = 0
    outcome: bytes | LossdError | None = None
    while first < end:
        key = message[first]
        if key == _ENTRY_ID:
            number, first = _number(message, first + 1)
        elif key in (_ENTRY_RESPONSE, _ENTRY_FAILURE):
            size, begin = _number(message, first + 1)
            first = begin + size
            if first > end:
                break
            outcome = message[begin:first]
            if key == _ENTRY_FAILURE:
                outcome = errors.of_failure(loss_service_pb2.Failure.FromString(outcome))
        else:
            first = _skip(message, first)
    if first > end:
        raise ValueError(_TOO_LONG)
    return number, outcome


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
