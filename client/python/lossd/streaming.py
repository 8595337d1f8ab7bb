"""Losses of tensors that are too large for one message, for both clients."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lossd import conversion, device_array, element_type, gradient, spec, wire
from lossd.conversion import Execution, LossResult, Targets
from lossd.element_type import ElementType
from lossd.shared_memory import SharedMemory
from lossd.targets import Bits, Identity, Ones, SparseMatrix
from lossd.v1 import loss_service_pb2, loss_spec_pb2
from lossd.wire import WireTensor

# If the tensors of a call have more bytes together, the call uses StreamLoss by default.
STREAM_ABOVE_BYTES = 64 << 20
# A chunk has as many elements as a window of the server.
_CHUNK_ELEMENTS = 1 << 17
# A gradient is scaled in parts of so many elements, which bounds the float64 copies.
_SCALE_ELEMENTS = 1 << 20


def sends_more_than(
    limit: int,
    logits: ArrayLike,
    targets: Targets,
    options: dict[str, Any],
    memory: SharedMemory | None,
) -> bool:
    """Returns whether a call sends more than about `limit` bytes of tensors.

    Lists of numbers are never large and count as 0 bytes, and so do arrays in `memory`. The
    answer is False for a call with a tensor on a GPU that `memory` can lend: such a call is
    always one message.
    """
    arrays: dict[str, Any] = {
        "logits": logits,
        "targets": targets.packed if isinstance(targets, Bits) else targets,
        **{name: options.get(name) for name in spec.OPERANDS},
    }
    sizes = {name: _bytes_of(array) for name, array in arrays.items()}
    if sum(sizes.values()) <= limit:
        return False  # the fast way: most calls are small wherever their tensors lie
    if memory is None:
        return True
    places = {**arrays, "gradient_out": options.get("gradient_out")}
    if any(device_array.of(name, array) is not None for name, array in places.items()):
        return False
    sent = (
        size
        for name, size in sizes.items()
        if size > 0 and not conversion.lies_in(arrays[name], memory)
    )
    return sum(sent) > limit


def _bytes_of(array: Any) -> int:
    if isinstance(array, bytes):
        return len(array)
    if hasattr(array, "element_size"):  # old versions of PyTorch have no nbytes
        return int(array.element_size() * array.nelement())
    return int(getattr(array, "nbytes", 0))


class LossStream:
    """One loss by StreamLoss: makes the messages to send, and collects those that arrive.

    Tensors of the logits' shape are sent in chunks, which are cut from the caller's memory.
    Tensors that are broadcast, and sparse targets, are sent whole in the header.
    """

    def __init__(self, logits: ArrayLike, targets: Targets, **options: Any) -> None:
        """Takes the arguments of compute_loss(); `options` are LossOptions.

        Raises ValueError or TypeError, which name a bad argument.
        """
        sent = wire.to_wire("logits", logits)
        parsed = spec.parse(**options)
        self._shape = sent.shape
        self._elements = math.prod(sent.shape)
        self._in_chunks: dict[str, WireTensor] = {"logits": sent}
        self._header = loss_service_pb2.StreamLossHeader(
            spec=parsed.spec,
            shape=sent.shape,
            logits_dtype=sent.element_type.data_type,
            request_id=parsed.request_id,
        )
        self._add_targets(targets)
        for name, array in parsed.operands.items():
            self._add_operand(name, array)
        self._gradient_out = parsed.gradient_out
        if self._gradient_out is not None:
            gradient.place(self._header.spec, sent.shape, self._gradient_out)
        self._summary: loss_service_pb2.StreamLossSummary | None = None
        self._gradient = self._arriving(
            self._header.spec.gradient != loss_spec_pb2.GRADIENT_MODE_OMIT,
            element_type.by_data_type(
                self._header.spec.gradient_dtype or self._header.logits_dtype
            ),
        )
        self._losses = self._arriving(
            self._header.spec.reduction == loss_spec_pb2.REDUCTION_NONE, sent.element_type
        )

    def _add_targets(self, targets: Targets) -> None:
        if isinstance(targets, Identity | Ones | SparseMatrix):
            self._header.targets.CopyFrom(conversion.to_targets(targets))
            return
        if isinstance(targets, Bits):
            sent = conversion.bits_to_wire(targets)
        else:
            sent = wire.to_wire("targets", targets)
        self._header.targets_dtype = sent.element_type.data_type
        self._header.targets_shape.extend(sent.shape)
        self._in_chunks["targets"] = sent

    def _add_operand(self, name: str, array: ArrayLike) -> None:
        sent = wire.to_wire(name, array)
        if sent.shape == self._shape and self._elements > 1:
            setattr(self._header, f"{name}_dtype", sent.element_type.data_type)
            self._in_chunks[name] = sent
        else:
            getattr(self._header, name).CopyFrom(conversion.to_tensor(name, array))

    def _arriving(self, wanted: bool, kind: ElementType) -> _ArrivingArray | None:
        return _ArrivingArray(kind, self._shape) if wanted else None

    def messages(self) -> Iterator[loss_service_pb2.StreamLossRequest]:
        """Yields the header and then the chunks."""
        yield loss_service_pb2.StreamLossRequest(header=self._header)
        for first in range(0, self._elements, _CHUNK_ELEMENTS):
            end = first + _CHUNK_ELEMENTS
            last = end >= self._elements
            chunk = loss_service_pb2.StreamLossChunk()
            for name, sent in self._in_chunks.items():
                begin = sent.element_type.byte_size(first)
                stop = len(sent.data) if last else sent.element_type.byte_size(end)
                setattr(chunk, name, sent.data[begin:stop].tobytes())
            yield loss_service_pb2.StreamLossRequest(chunk=chunk)

    def add(self, response: loss_service_pb2.StreamLossResponse) -> None:
        """Takes the next message of the server."""
        part = response.WhichOneof("part")
        if part == "gradient" and self._gradient is not None:
            self._gradient.add(response.gradient)
        elif part == "losses" and self._losses is not None:
            self._losses.add(response.losses)
        elif part == "summary":
            self._summary = response.summary

    def result(self) -> LossResult:
        """Returns the result; call it once the stream has ended without an error.

        Raises RuntimeError if messages are missing.
        """
        summary = self._summary
        if summary is None:
            raise RuntimeError("the stream ended without its summary")
        values = None if self._gradient is None else self._gradient.array()
        if values is not None and summary.HasField("gradient_scale"):
            values = _scaled(values, summary.gradient_scale)
        if values is not None and self._gradient_out is not None:
            values = gradient.put(values, self._gradient_out)
        return LossResult(
            loss=summary.loss,
            losses=None if self._losses is None else self._losses.array(),
            gradient=values,
            normalizer=summary.normalizer,
            valid_count=summary.valid_count,
            nan_count=summary.nan_count,
            execution=Execution(summary.backend, None, None, None, None),
            request_id=summary.request_id,
        )


class _ArrivingArray:
    """An array whose bytes arrive in several messages."""

    def __init__(self, kind: ElementType, shape: tuple[int, ...]) -> None:
        self._element_type = kind
        self._shape = shape
        self._bytes = np.empty(kind.byte_size(math.prod(shape)), np.uint8)
        self._arrived = 0

    def add(self, data: bytes) -> None:
        end = self._arrived + len(data)
        self._bytes[self._arrived : end] = np.frombuffer(data, np.uint8)
        self._arrived = end

    def array(self) -> NDArray[Any]:
        if self._arrived != len(self._bytes):
            raise RuntimeError(
                f"the stream ended after {self._arrived} of {len(self._bytes)} bytes of results"
            )
        array = wire.from_wire(self._element_type, self._shape, self._bytes.data)
        array.flags.writeable = False
        return array


def _scaled(gradient: NDArray[Any], scale: float) -> NDArray[Any]:
    """Returns the gradient multiplied in float64 and rounded once."""
    scaled = np.empty_like(gradient)
    source, target = gradient.reshape(-1), scaled.reshape(-1)
    for first in range(0, source.size, _SCALE_ELEMENTS):
        part = slice(first, first + _SCALE_ELEMENTS)
        target[part] = source[part].astype(np.float64) * scale
    scaled.flags.writeable = False
    return scaled
