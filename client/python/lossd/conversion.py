"""Between NumPy and messages; shared by the blocking and the asyncio client."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lossd import arguments, device_array, element_type, gradient, wire
from lossd.device_array import DeviceArray
from lossd.element_type import ARRAY_TYPES, BIT, ElementType
from lossd.memory_references import MemoryReferences
from lossd.shared_memory import SharedMemory
from lossd.spec import to_spec
from lossd.targets import Bits, Identity, Ones, SparseMatrix, from_sparse
from lossd.v1 import loss_service_pb2, tensor_pb2
from lossd.wire import WireTensor

COMPUTE_LOSS = "/lossd.v1.LossService/ComputeLoss"
STREAM_LOSS = "/lossd.v1.LossService/StreamLoss"
GET_SERVER_INFO = "/lossd.v1.LossService/GetServerInfo"

# Messages are as large as the server allows.
CHANNEL_OPTIONS = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]

# Everything is sent.
_NOTHING = MemoryReferences(None)

Targets = ArrayLike | SparseMatrix | Ones | Identity | Bits


@dataclass(frozen=True)
class Execution:
    """How the server computed a request; nothing here changes the answer."""

    backend: str
    batch_requests: int
    batch_elements: int
    queue_time: timedelta
    compute_time: timedelta


@dataclass(frozen=True, eq=False)  # == of arrays is not a truth value
class LossResult:
    """The answer to compute_loss().

    `gradient` and `losses` have the logits' shape and dtype, the gradient that of
    `gradient_dtype` if it was given; `gradient` is None with gradient=False, `losses` is
    None unless reduction="none". They are read-only views of the reply; but bfloat16
    without the package ml_dtypes is widened to float32, which is exact. With
    `gradient_out`, that is what `gradient` is. That of logits on a GPU that a call named, and
    that are PyTorch's, is a new tensor there.
    """

    loss: float
    losses: NDArray[Any] | None
    gradient: Any  # an array, or what gradient_out or the logits are; or None
    normalizer: float
    valid_count: int
    nan_count: int
    execution: Execution
    request_id: str


def bits_to_wire(bits: Bits) -> WireTensor:
    """Targets of one bit each as their bytes."""
    packed = bits.packed
    data = memoryview(packed) if isinstance(packed, bytes) else wire.to_wire("targets", packed).data
    return WireTensor(BIT, bits.shape, data)


def to_tensor(
    name: str, array: ArrayLike, references: MemoryReferences = _NOTHING
) -> tensor_pb2.Tensor:
    """`array` as a message: by reference if it is lent, else copied.

    TypeError, naming `name`, for what cannot be sent.
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
    """`array`, if it lies on a GPU and is not copied to the host."""
    device = device_array.of(name, array)
    if device is None or (not references.enabled and device.copies_itself):
        return None
    if name == "upstream_gradient" and device.size == 1:  # the server needs the value itself
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
        tensor.data = b""  # lies nowhere
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
    """Whether the bytes of an array of the host would be named instead of copied."""
    values, _ = wire.values_of(array)
    return memory.reference(values) is not None


def to_targets(targets: Targets, references: MemoryReferences = _NOTHING) -> tensor_pb2.Tensor:
    """Targets of any form as a message."""
    if isinstance(targets, Identity):
        return tensor_pb2.Tensor(identity=tensor_pb2.Identity(diagonal=targets.diagonal))
    if isinstance(targets, Bits):
        device = _named_on_device("targets", targets.packed, references)
        if device is None:
            return _from_wire(bits_to_wire(targets), references)
        return _on_device("targets", device, BIT, targets.shape, references)
    # To ask arrays, the most frequent, for the methods of matrices takes longer than the rest.
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
    """A call of ComputeLoss: what is sent, and before that references.synchronize()."""

    request: loss_service_pb2.ComputeLossRequest
    gradient_out: Any
    references: MemoryReferences


def to_call(
    logits: ArrayLike,
    targets: Targets,
    *,
    weights: ArrayLike | None = None,
    pos_weight: ArrayLike | None = None,
    upstream_gradient: ArrayLike | None = None,
    gradient_out: Any = None,
    request_id: str = "",
    memory: SharedMemory | None = None,
    **spec: Any,
) -> Call:
    """The arguments of compute_loss(). ValueError and TypeError name a bad one; LossdError, a
    tensor on a GPU that the server cannot have.
    """
    references = MemoryReferences(memory)
    request = loss_service_pb2.ComputeLossRequest(
        spec=to_spec(**spec),
        logits=to_tensor("logits", logits, references),
        request_id=arguments.text("request_id", request_id),
    )
    if gradient_out is None and references.enabled:
        gradient_out = gradient.new_place(request, logits)
    request.targets.CopyFrom(to_targets(targets, references))
    optional = {
        "weights": weights,
        "pos_weight": pos_weight,
        "upstream_gradient": upstream_gradient,
    }
    for name, array in optional.items():
        if array is not None:
            getattr(request, name).CopyFrom(to_tensor(name, array, references))
    if gradient_out is not None:
        gradient.ask_for(request, gradient_out, references)
    return Call(request, gradient_out, references)


def to_request(
    logits: ArrayLike, targets: Targets, **options: Any
) -> loss_service_pb2.ComputeLossRequest:
    """What to_call() sends."""
    return to_call(logits, targets, **options).request


def _gradient_of(reply: loss_service_pb2.ComputeLossResponse, out: Any) -> Any:
    if out is None:
        return wire.to_array(reply.gradient) if reply.HasField("gradient") else None
    if reply.HasField("gradient"):  # else the server wrote it there
        return gradient.put(reply.gradient.data, out)
    return out


def to_result(reply: loss_service_pb2.ComputeLossResponse, gradient_out: Any = None) -> LossResult:
    """The answer, its gradient in `gradient_out` if that is given."""
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
