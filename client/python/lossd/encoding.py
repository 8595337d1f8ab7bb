"""Requests as the bytes of protobuf, made without its library wherever they hold a tensor (D66).

Every function returns a field: its number, its length and what is in it. The bytes equal those
of the generated code, which the tests compare.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

# The numbers of the fields of tensor.proto.
_DTYPE, _SHAPE, _DATA, _SHARED_MEMORY, _ONES, _IDENTITY = 1, 2, 3, 5, 6, 7
_REGION, _OFFSET, _BYTE_SIZE = 1, 2, 3
_ROW_SPLITS, _COLUMNS = 1, 2
_DIAGONAL = 1

# The numbers of the fields of a ComputeLossesRequest; an entry's id is 1.
_ENTRIES = 1
_ENTRY_REQUEST, _ENTRY_TIMEOUT = 2, 3

# A buffer that bytes.join() takes.
Buffer = Any


class Reference(NamedTuple):
    """The place of bytes in a region: a SharedMemoryRef."""

    region: str
    offset: int
    byte_size: int


def varint(value: int) -> bytes:
    """Returns an integer of 64 bits in groups of seven bits, the lowest first."""
    value &= (1 << 64) - 1
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)


def number(field: int, value: int) -> bytes:
    """Returns an integer or enum, and nothing for 0, which is every such field's default."""
    return varint(field << 3) + varint(value) if value != 0 else b""


def block(field: int, content: bytes) -> bytes:
    """Returns a field of bytes or of a message."""
    return _block_header(field, len(content)) + content


def text(field: int, value: str) -> bytes:
    """Returns a text, and nothing for an empty one."""
    return block(field, value.encode()) if value else b""


def integers(field: int, values: Sequence[int]) -> bytes:
    """Returns a packed list of a few integers, and nothing for an empty one."""
    return block(field, b"".join(map(varint, values))) if values else b""


@functools.lru_cache(maxsize=1024)
def tensor_header(field: int, data_type: int, shape: tuple[int, ...], byte_size: int) -> bytes:
    """Returns a Tensor up to its data, `byte_size` bytes that must follow."""
    before = number(_DTYPE, data_type) + integers(_SHAPE, shape) + _block_header(_DATA, byte_size)
    return _block_header(field, len(before) + byte_size) + before


@functools.lru_cache(maxsize=1024)
def tensor_in_region(field: int, data_type: int, shape: tuple[int, ...], place: Reference) -> bytes:
    """Returns a Tensor whose data lies in a region."""
    content = number(_DTYPE, data_type) + integers(_SHAPE, shape)
    return block(field, content + reference(_SHARED_MEMORY, place))


@functools.lru_cache(maxsize=1024)
def reference(field: int, place: Reference) -> bytes:
    """Returns a SharedMemoryRef."""
    region, offset, byte_size = place
    content = text(_REGION, region) + number(_OFFSET, offset) + number(_BYTE_SIZE, byte_size)
    return block(field, content)


def ones(
    field: int,
    shape: tuple[int, ...],
    row_splits: NDArray[np.int64],
    columns: NDArray[np.int64],
) -> bytes:
    """Returns a Tensor of targets that are given by the places of their ones."""
    lists = _many_integers(_ROW_SPLITS, row_splits) + _many_integers(_COLUMNS, columns)
    return block(field, integers(_SHAPE, shape) + block(_ONES, lists))


def identity(field: int, diagonal: int) -> bytes:
    """Returns a Tensor of targets that are 1 on one diagonal."""
    return block(field, block(_IDENTITY, number(_DIAGONAL, diagonal)))


def entry(number_of_entry: int, request_size: int, timeout: float | None) -> tuple[bytes, bytes]:
    """Returns what an entry of a ComputeLossesRequest has before its request, and after it.

    `timeout` is in seconds and above 0; with None the entry has none.
    """
    before = b"\x08" + varint(number_of_entry) + _block_header(_ENTRY_REQUEST, request_size)
    after = b"" if timeout is None else block(_ENTRY_TIMEOUT, duration(timeout))
    size = len(before) + request_size + len(after)
    return _block_header(_ENTRIES, size) + before, after


def duration(seconds: float) -> bytes:
    """Returns a google.protobuf.Duration, rounded up to whole nanoseconds."""
    whole = math.floor(seconds)
    nanos = math.ceil((seconds - whole) * 1e9)
    whole, nanos = whole + nanos // 1_000_000_000, nanos % 1_000_000_000
    return number(1, whole) + number(2, nanos)


def chunk(field: int, parts: list[tuple[int, Buffer]]) -> bytes:
    """Returns a message whose fields, in rising order, are the bytes of the parts."""
    pieces: list[Buffer] = []
    size = 0
    for number_of_part, data in parts:
        header = _block_header(number_of_part, len(data))
        pieces += (header, data)
        size += len(header) + len(data)
    return b"".join((_block_header(field, size), *pieces))


@functools.lru_cache(maxsize=1024)
def _block_header(field: int, byte_size: int) -> bytes:
    return varint(field << 3 | 2) + varint(byte_size)


def _many_integers(field: int, values: NDArray[np.int64]) -> bytes:
    if values.size == 0:
        return b""
    rest = values.view(np.uint64)
    width = (int(rest.max()).bit_length() + 6) // 7 or 1
    shifts = np.arange(width, dtype=np.uint64) * np.uint64(7)
    groups = (rest[:, np.newaxis] >> shifts).astype(np.uint8) & 0x7F
    # A group is sent if it or a higher one has a bit; all but the last one are marked.
    sent = rest[:, np.newaxis] >> shifts > 0
    sent[:, 0] = True
    groups[:, :-1][sent[:, 1:]] |= 0x80
    return block(field, groups[sent].tobytes())
