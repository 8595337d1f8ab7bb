"""Conversion between NumPy and messages, for both clients."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lossd import device_array, element_type, gradient, spec, wire
from lossd.device_array import DeviceArray
from lossd.element_type import ARRAY_TYPES, BIT, ElementType
from lossd.memory_references import MemoryReferences
from lossd.shared_memory import SharedMemory
from lossd.targets import Bits, Identity, Ones, SparseMatrix, from_sparse
from lossd.v1 import loss_service_pb2, tensor_pb2
from lossd.wire import WireTensor

COMPUTE_LOSS = "/lossd.v1.LossService/ComputeLoss"
STREAM_LOSS = "/lossd.v1.LossService/StreamLoss"
GET_SERVER_INFO = "/lossd.v1.LossService/GetServerInfo"

# The client sets no limit of its own to a message; the server does.
CHANNEL_OPTIONS = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]

# With these, every tensor is sent.
_NOTHING = MemoryReferences(None)

Targets = ArrayLike | SparseMatrix | Ones | Identity | Bits


@dataclass(frozen=True)
class Execution:
    """The way in which the server computed a request; it has no influence on the result.

    All but the backend is None for a streamed call, which is part of many batches.
    """

    backend: str
    batch_requests: int | None
    batch_elements: int | None
    queue_time: timedelta | None
    compute_time: timedelta | None


@dataclass(frozen=True, eq=False)  # == of arrays has no truth value
class LossResult:
    """The result of compute_loss().

    `gradient` has the logits' shape, and their dtype unless `gradient_dtype` asked for another.
    It is None with gradient=False, and the object passed as `gradient_out` if there was one.
    PyTorch logits on a GPU that are passed by reference have a new tensor there as their
    gradient. Otherwise it is a read-only view of the reply.

    `losses` has the logits' shape and dtype, as a read-only view of the reply. It is None
    unless reduction="none".

    Without the package ml_dtypes, bfloat16 is widened to float32, which is exact.
    """

    loss: float
    losses: NDArray[Any] | None
    gradient: Any  # an array, a tensor, or None
    normalizer: float
    valid_count: int
    nan_count: int
    execution: Execution
    request_id: str


def bits_to_wire(bits: Bits) -> WireTensor:
    """Returns the bytes of targets of one bit each."""
    packed = bits.packed
    data = memoryview(packed) if isinstance(packed, bytes) else wire.to_wire("targets", packed).data
    return WireTensor(BIT, bits.shape, data)


def to_tensor(
    name: str, array: ArrayLike, references: MemoryReferences = _NOTHING
) -> tensor_pb2.Tensor:
    """Returns `array` as a message: by reference if possible, else with a copy of its bytes.

    Raises TypeError, which names `name`, for an array that cannot be sent.
    """
    device = _named_on_device(name, array, references)
    if device is not None:
        known = element_type.by_name(device.dtype)
        if known is None:
            names = element_type.names(ARRAY_TYPES)
            raise TypeError(f"{name}: dtype {device.dtype} is none of {names}")
        return _on_device(name, device, known, device.shape, references)
    return _from_wire(wire.to_wire(name, array), references)


def _named_on_device(name: str, array: Any, references: MemoryReferences) -> DeviceArray | None:
    """Returns a description of `array` if it is to be passed by reference on a GPU, else None.

    None is returned for an array in host memory, and for one that its library copies there.
    """
    device = device_array.of(name, array)
    if device is None or (not references.enabled and device.copies_itself):
        return None
    if name == "upstream_gradient" and device.size == 1:  # the contract has it sent
        if not device.copies_itself:
            raise TypeError(f"{name}: one value on {device.device}; give a number")
        return None
    return device


def _on_device(
    name: str,
    device: DeviceArray,
    kind: ElementType,
    shape: tuple[int, ...],
    references: MemoryReferences,
) -> tensor_pb2.Tensor:
    tensor = tensor_pb2.Tensor(dtype=kind.data_type, shape=shape)
    if device.size == 0:
        tensor.data = b""  # an empty tensor has no address
    else:
        tensor.shared_memory.CopyFrom(references.device_reference(name, device))
    return tensor


def _from_wire(sent: WireTensor, references: MemoryReferences) -> tensor_pb2.Tensor:
    tensor = tensor_pb2.Tensor(dtype=sent.element_type.data_type, shape=sent.shape)
    reference = references.reference(np.asarray(sent.data))
    if reference is not None:
        tensor.shared_memory.CopyFrom(reference)
    else:
        tensor.data = sent.data.tobytes()
    return tensor


def lies_in(array: ArrayLike, memory: SharedMemory) -> bool:
    """Returns whether a host array is passed by reference instead of copied."""
    values, _ = wire.values_of(array)
    return memory.reference(values) is not None


def to_targets(targets: Targets, references: MemoryReferences = _NOTHING) -> tensor_pb2.Tensor:
    """Returns targets of any form as a message."""
    if isinstance(targets, Identity):
        return tensor_pb2.Tensor(identity=tensor_pb2.Identity(diagonal=targets.diagonal))
    if isinstance(targets, Bits):
        device = _named_on_device("targets", targets.packed, references)
        if device is None:
            return _from_wire(bits_to_wire(targets), references)
        return _on_device("targets", device, BIT, targets.shape, references)
    # isinstance() with a protocol takes longer than all the rest, so arrays do not reach it.
    if not isinstance(targets, np.ndarray) and isinstance(targets, SparseMatrix):
        targets = from_sparse(targets)
    if isinstance(targets, Ones):
        sparse = tensor_pb2.SparseIndices(
            row_splits=targets.row_splits.tolist(), columns=targets.columns.tolist()
        )
        return tensor_pb2.Tensor(shape=targets.shape, ones=sparse)
    return to_tensor("targets", targets, references)


@dataclass(frozen=True)
class Call:
    """A call of ComputeLoss. `request` may be sent after references.synchronize()."""

    request: loss_service_pb2.ComputeLossRequest
    gradient_out: Any
    references: MemoryReferences


def to_call(
    logits: ArrayLike, targets: Targets, *, memory: SharedMemory | None = None, **options: Any
) -> Call:
    """Returns the arguments of compute_loss() as one message; `options` are LossOptions.

    Raises ValueError or TypeError, which name a bad argument, and LossdError, which names a
    tensor on a GPU that the server cannot use.
    """
    parsed = spec.parse(**options)
    references = MemoryReferences(memory)
    request = loss_service_pb2.ComputeLossRequest(
        spec=parsed.spec,
        logits=to_tensor("logits", logits, references),
        request_id=parsed.request_id,
    )
    gradient_out = parsed.gradient_out
    if gradient_out is None and references.enabled:
        gradient_out = gradient.new_place(request, logits)
    request.targets.CopyFrom(to_targets(targets, references))
    for name, array in parsed.operands.items():
        getattr(request, name).CopyFrom(to_tensor(name, array, references))
    if gradient_out is not None:
        gradient.ask_for(request, gradient_out, references)
    return Call(request, gradient_out, references)


def to_request(
    logits: ArrayLike, targets: Targets, **options: Any
) -> loss_service_pb2.ComputeLossRequest:
    """Returns the request of to_call(), without its references."""
    return to_call(logits, targets, **options).request


def _gradient_of(reply: loss_service_pb2.ComputeLossResponse, out: Any) -> Any:
    if out is None:
        return wire.to_array(reply.gradient) if reply.HasField("gradient") else None
    if reply.HasField("gradient"):  # otherwise the server has written it to `out`
        return gradient.put(reply.gradient.data, out)
    return out


def to_result(reply: loss_service_pb2.ComputeLossResponse, gradient_out: Any = None) -> LossResult:
    """Returns the result of a reply, with its gradient in `gradient_out` if that is not None."""
    execution = reply.execution
    return LossResult(
        loss=reply.loss,
        losses=wire.to_array(reply.losses) if reply.HasField("losses") else None,
        gradient=_gradient_of(reply, gradient_out),
        normalizer=reply.normalizer,
        valid_count=reply.valid_count,
        nan_count=reply.nan_count,
        execution=Execution(
            backend=execution.backend,
            batch_requests=execution.batch_requests,
            batch_elements=execution.batch_elements,
            queue_time=execution.queue_time.ToTimedelta(),
            compute_time=execution.compute_time.ToTimedelta(),
        ),
        request_id=reply.request_id,
    )
