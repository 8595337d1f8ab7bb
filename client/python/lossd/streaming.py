"""Losses of tensors that are too large for one message, for both clients."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lossd import conversion, device_array, encoding, gradient, pytorch, reply, spec, wire
from lossd.conversion import NOTHING_SHARED, Logits, Targets
from lossd.element_type import FLOAT32, FLOAT64, GRADIENT_TYPES, ElementType
from lossd.encoding import Buffer
from lossd.reply import (
    STREAM_GRADIENT,
    STREAM_LOSSES,
    STREAM_SECOND_DERIVATIVE,
    STREAM_SUMMARY,
)
from lossd.result import Execution, LossResult
from lossd.shared_memory import SharedMemory
from lossd.targets import Bits, Identity, Ones, from_sparse
from lossd.v1 import loss_service_pb2
from lossd.wire import WireTensor

# If the tensors of a call have more bytes together, the call uses StreamLoss by default.
STREAM_ABOVE_BYTES = 64 << 20
# protobuf's messages end at 2 GiB, whatever the caller wants; the rest is for the other fields.
LARGEST_MESSAGE = (1 << 31) - (1 << 20)
# A chunk has as many elements as a window of the server.
_CHUNK_ELEMENTS = 1 << 17
# A gradient is scaled in parts of so many elements, which bounds the copies.
_SCALE_ELEMENTS = 1 << 20

# The numbers of the fields of StreamLossRequest, StreamLossHeader and StreamLossChunk.
_HEADER, _CHUNK = 1, 2
_SPEC, _SHAPE, _LOGITS_DTYPE, _TARGETS_DTYPE, _REQUEST_ID = 1, 2, 3, 4, 6
_TARGETS, _TARGETS_SHAPE = 10, 14
_DTYPES = {"weights": 5, "pos_weight": 8, "upstream_gradient": 9}
_WHOLE = {"weights": 11, "pos_weight": 12, "upstream_gradient": 13}
_IN_CHUNK = {"logits": 1, "targets": 2, "weights": 3, "pos_weight": 4, "upstream_gradient": 5}


def takes(options: Mapping[str, Any]) -> bool:
    """Returns whether a stream can compute the loss: not if the divisors of rows are counted."""
    reduction = str(options.get("reduction")).lower()
    if reduction not in ("rows", "mean_of_rows"):
        return True
    ignores = options.get("ignore_target") is not None
    return not (_is_counted(options) or (ignores and reduction == "mean_of_rows"))


def _is_counted(options: Mapping[str, Any]) -> bool:
    """Returns whether targets or weights decide the divisor of a mean or of a row."""
    ignores = options.get("ignore_target") is not None
    by_weights = ignores or options.get("weights") is not None
    counts = {"valid": ignores, "nonzero_weights": by_weights, "weight_sum": by_weights}
    return counts.get(str(options.get("normalizer")).lower(), False)


def _sent_type(
    options: Mapping[str, Any], wanted: ElementType, arithmetic: ElementType
) -> ElementType:
    """Returns the type in which a stream sends derivatives of type `wanted`.

    Where the client scales them at the end, they are sent as those of the plain sum, which may be
    beyond the range of `wanted`: so in the type of the server's arithmetic, if that is wider.
    """
    reduction = str(options.get("reduction", "mean")).lower()
    scales = reduction == "mean" and _is_counted(options)
    is_narrower = wanted in GRADIENT_TYPES and wanted.bits < arithmetic.bits
    return arithmetic if scales and is_narrower else wanted


def sends_more_than(
    limit: int,
    logits: Logits,
    targets: Targets,
    options: Mapping[str, Any],
    memory: SharedMemory | None,
) -> bool:
    """Returns whether a call sends more than about `limit` bytes of tensors.

    Lists of numbers are never large and count as 0 bytes, and so do arrays in `memory`. The
    answer is False for a call with a tensor on a GPU that `memory` can lend: such a call is
    always one message.
    """
    packed = targets.packed if isinstance(targets, Bits) else targets
    arrays: dict[str, Any] = {"logits": logits, "targets": packed}
    for name in spec.OPERANDS:
        if name in options:
            arrays[name] = options[name]
    sizes = {name: _bytes_of(array) for name, array in arrays.items()}
    limit = min(limit, LARGEST_MESSAGE)
    if sum(sizes.values()) <= limit:
        return False
    if memory is None:
        return True
    places = arrays | {name: options.get(name) for name in spec.OUTS}
    if any(device_array.of(name, array) is not None for name, array in places.items()):
        return False
    sent = (
        size
        for name, size in sizes.items()
        if size > 0 and not conversion.lies_in(arrays[name], memory)
    )
    return sum(sent) > limit


def _bytes_of(array: Any) -> int:
    if type(array) is np.ndarray:
        return array.nbytes
    if hasattr(array, "element_size"):  # old versions of PyTorch have no nbytes
        # A sparse tensor counts as nothing, because its zeros are not sent.
        dense = str(getattr(array, "layout", "torch.strided")) == "torch.strided"
        return int(array.element_size() * array.nelement()) * dense
    return int(getattr(array, "nbytes", 0))


class LossStream:
    """One loss by StreamLoss: makes the messages to send, and collects those that arrive.

    Tensors of the logits' shape are sent in chunks, which are cut from the caller's memory.
    Tensors that are broadcast, and sparse targets, are sent whole in the header.
    """

    def __init__(self, logits: Logits, targets: Targets, **options: Any) -> None:
        """Takes the arguments of compute_loss(); `options` are LossOptions.

        Raises ValueError or TypeError, which name a bad argument.
        """
        parsed = spec.parse(options)
        asked = spec.of(parsed.plain)
        sent = wire.to_wire("logits", logits)
        self._shape = sent.shape
        self._elements = math.prod(sent.shape)
        self._in_chunks: dict[str, WireTensor] = {"logits": sent}
        self._fields: dict[int, list[Buffer]] = {}
        self._add_targets(targets)
        for name, array in parsed.operands.items():
            self._add_operand(name, array)
        asked, outs, _ = conversion.given_places(parsed, asked, sent.shape, NOTHING_SHARED)
        self._arithmetic = FLOAT64 if sent.element_type is FLOAT64 else FLOAT32
        kind = asked.gradient_type or sent.element_type
        arriving = _sent_type(options, kind, self._arithmetic)
        if arriving is not kind:
            asked = spec.of({**parsed.plain, "gradient_dtype": arriving.name})
        self._fields[_SPEC] = [encoding.block(_SPEC, asked.encoded)]
        self._fields[_SHAPE] = [encoding.integers(_SHAPE, sent.shape)]
        self._fields[_LOGITS_DTYPE] = [encoding.number(_LOGITS_DTYPE, sent.element_type.data_type)]
        self._fields[_REQUEST_ID] = [encoding.text(_REQUEST_ID, parsed.request_id)]
        self._summary: loss_service_pb2.StreamLossSummary | None = None
        self._gradient, self._second_derivative = (
            _ArrivingTensor(kind, arriving, self._shape, logits, outs.get(name)) if wanted else None
            for name, wanted in zip(
                spec.OUTS, (asked.has_gradient, asked.has_second_derivative), strict=True
            )
        )
        losses = asked.losses_type or sent.element_type
        shape = self._shape[:1] if asked.has_row_losses else self._shape
        self._losses = _ArrivingTensor(losses, losses, shape, logits) if asked.has_losses else None

    def _add_targets(self, targets: Targets) -> None:
        sparse = targets if isinstance(targets, Identity | Ones) else None
        if sparse is None and not isinstance(targets, Bits):
            sparse = from_sparse(targets)
        if sparse is not None:
            self._fields[_TARGETS] = conversion.targets_field(_TARGETS, sparse)
            return
        if isinstance(targets, Bits):
            sent = conversion.bits_to_wire(targets)
        else:
            sent = wire.to_wire("targets", targets)
        self._fields[_TARGETS_DTYPE] = [
            encoding.number(_TARGETS_DTYPE, sent.element_type.data_type)
        ]
        self._fields[_TARGETS_SHAPE] = [encoding.integers(_TARGETS_SHAPE, sent.shape)]
        self._in_chunks["targets"] = sent

    def _add_operand(self, name: str, array: ArrayLike) -> None:
        sent = wire.to_wire(name, array)
        if sent.shape == self._shape and self._elements > 1:
            number = _DTYPES[name]
            self._fields[number] = [encoding.number(number, sent.element_type.data_type)]
            self._in_chunks[name] = sent
        else:
            self._fields[_WHOLE[name]] = conversion.tensor_field(_WHOLE[name], name, array)

    def messages(self) -> Iterator[bytes]:
        """Yields the header and then the chunks."""
        header = [piece for number in sorted(self._fields) for piece in self._fields[number]]
        yield encoding.block(_HEADER, b"".join(header))
        tensors = [
            (_IN_CHUNK[name], sent.element_type, sent.values.reshape(-1).view(np.uint8).data)
            for name, sent in self._in_chunks.items()
        ]
        tensors.sort(key=lambda tensor: tensor[0])
        for first in range(0, self._elements, _CHUNK_ELEMENTS):
            end = min(first + _CHUNK_ELEMENTS, self._elements)
            parts = [
                (number, data[kind.byte_size(first) : kind.byte_size(end)])
                for number, kind, data in tensors
            ]
            yield encoding.chunk(_CHUNK, parts)

    def restart(self) -> None:
        """Forgets what has arrived, so that another stream can be asked."""
        self._summary = None
        for arriving in (self._gradient, self._losses, self._second_derivative):
            if arriving is not None:
                arriving.restart()

    def add(self, message: bytes) -> None:
        """Takes the next message of the server; LossdError if it is none."""
        key, first, end = reply.part(message)
        arriving = {
            STREAM_GRADIENT: self._gradient,
            STREAM_LOSSES: self._losses,
            STREAM_SECOND_DERIVATIVE: self._second_derivative,
        }.get(key)
        if arriving is not None:
            arriving.add(message, first, end)
        elif key == STREAM_SUMMARY:
            self._summary = loss_service_pb2.StreamLossSummary.FromString(message[first:end])

    def result(self) -> LossResult[Any, Any]:
        """Returns the result; call it once the stream has ended without an error.

        Raises RuntimeError if messages are missing.
        """
        summary = self._summary
        if summary is None:
            raise RuntimeError("the stream ended without its summary")
        second = self._second_derivative
        factor = summary.gradient_scale if summary.HasField("gradient_scale") else None
        for derivative in (self._gradient, second):
            if derivative is not None:
                derivative.finish(factor, self._arithmetic)
        return LossResult(
            loss=summary.loss,
            losses=None if self._losses is None else self._losses.result(),
            gradient=None if self._gradient is None else self._gradient.result(),
            second_derivative=None if second is None else second.result(),
            normalizer=summary.normalizer,
            valid_count=summary.valid_count,
            nan_count=summary.nan_count,
            execution=Execution(summary.backend, None, None, None, None),
            request_id=summary.request_id,
        )


class _ArrivingTensor:
    """A tensor of the reply whose bytes arrive in several messages."""

    def __init__(
        self,
        kind: ElementType,
        arriving: ElementType,
        shape: tuple[int, ...],
        logits: Any,
        out: Any = None,
    ) -> None:
        """The elements go to `out`, or to a new tensor of the library of the logits.

        If they arrive in another type than `kind`, they have memory of their own until finish().
        """
        self._kind = kind
        self._arriving = arriving
        self._device = None
        torch = pytorch.torch_of(logits)
        if out is None and torch is not None:
            out = pytorch.new_tensor(torch, shape, kind)
            self._device = logits.device
        self._out = out
        self._stored: NDArray[Any] = np.empty(shape, kind.storage)
        if out is not None:
            self._stored = gradient.stored(out).view(kind.storage).reshape(shape)
        self._received = self._stored if arriving is kind else np.empty(shape, arriving.storage)
        self._bytes = self._received.reshape(-1).view(np.uint8)
        self._arrived = 0

    def restart(self) -> None:
        """Takes the bytes from the first one on again."""
        self._arrived = 0

    def add(self, message: bytes, first: int, end: int) -> None:
        """Takes the next bytes; RuntimeError if they are more than the tensor has."""
        stop = self._arrived + end - first
        if stop > len(self._bytes):
            raise RuntimeError(f"the stream has more than {len(self._bytes)} bytes of results")
        self._bytes[self._arrived : stop] = np.frombuffer(message, np.uint8, end - first, first)
        self._arrived = stop

    def finish(self, factor: float | None, arithmetic: ElementType) -> None:
        """Multiplies the elements as the server would, and rounds them to their type.

        Without a factor they are only rounded. `arithmetic` is the type in which the server
        computes. Raises RuntimeError if bytes are missing.
        """
        self._check_whole()
        if factor is None and self._received is self._stored:
            return
        received, stored = self._received.reshape(-1), self._stored.reshape(-1)
        number = arithmetic.storage.type
        with np.errstate(over="ignore", invalid="ignore"):
            scale = number(1 if factor is None else factor)
            for first in range(0, stored.size, _SCALE_ELEMENTS):
                part = slice(first, first + _SCALE_ELEMENTS)
                elements = wire.as_elements(self._arriving, received[part]).astype(number)
                wire.store(self._kind, stored[part], elements * scale)

    def result(self) -> Any:
        """Returns the tensor; RuntimeError if bytes are missing."""
        self._check_whole()
        if self._device is not None:
            return self._out.to(self._device)
        if self._out is not None:
            return self._out
        array = wire.as_elements(self._kind, self._stored)
        array.flags.writeable = False
        return array

    def _check_whole(self) -> None:
        if self._arrived != len(self._bytes):
            raise RuntimeError(
                f"the stream ended after {self._arrived} of {len(self._bytes)} bytes of results"
            )
