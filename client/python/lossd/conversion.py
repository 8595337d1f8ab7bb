"""Between NumPy and messages; shared by the blocking and the asyncio client."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lossd import arguments
from lossd.shared_memory import SharedMemory
from lossd.targets import Bits, Identity, Ones, SparseMatrix, from_sparse
from lossd.v1 import loss_service_pb2, loss_spec_pb2, tensor_pb2

try:  # NumPy has no bfloat16 of its own
    from ml_dtypes import bfloat16 as _bfloat16
except ImportError:
    _bfloat16 = None

COMPUTE_LOSS = "/lossd.v1.LossService/ComputeLoss"
STREAM_LOSS = "/lossd.v1.LossService/StreamLoss"
GET_SERVER_INFO = "/lossd.v1.LossService/GetServerInfo"

# Messages are as large as the server allows.
CHANNEL_OPTIONS = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]

# Of a gradient in shared memory.
_GRADIENT_ALIGNMENT = 64

# What lossd reads and writes, little-endian whatever this machine is.
_WIRE_TYPES: dict[int, np.dtype[Any]] = {
    tensor_pb2.DATA_TYPE_FLOAT32: np.dtype("<f4"),
    tensor_pb2.DATA_TYPE_FLOAT64: np.dtype("<f8"),
    tensor_pb2.DATA_TYPE_FLOAT16: np.dtype("<f2"),
    tensor_pb2.DATA_TYPE_UINT8: np.dtype("u1"),
    tensor_pb2.DATA_TYPE_BOOL: np.dtype("?"),
    tensor_pb2.DATA_TYPE_INT32: np.dtype("<i4"),
    tensor_pb2.DATA_TYPE_INT64: np.dtype("<i8"),
}
_DATA_TYPES: dict[np.dtype[Any], Any] = {
    dtype: data_type for data_type, dtype in _WIRE_TYPES.items()
}


Targets = ArrayLike | SparseMatrix | Ones | Identity | Bits
Kind = Literal["sigmoid_cross_entropy", "sigmoid_focal", "asymmetric"]
Reduction = Literal["mean", "sum", "none"]
Normalizer = Literal["elements", "valid", "batch", "nonzero_weights", "weight_sum", "caller"]
NanPolicy = Literal["reject", "propagate"]
TargetRange = Literal["unit_interval", "any"]
GradientType = Literal["float32", "float64", "bfloat16", "float16"]


class LossOptions(TypedDict, total=False):
    """The options of compute_loss(). What each means is in lossd/v1/loss_spec.proto."""

    weights: ArrayLike | None
    pos_weight: ArrayLike | None
    upstream_gradient: ArrayLike | None
    kind: Kind
    reduction: Reduction
    normalizer: Normalizer
    normalizer_value: float | None  # with normalizer="caller"
    loss_weight: float | None
    ignore_target: float | None
    label_smoothing: float
    focal_gamma: float  # this and the next with kind="sigmoid_focal"
    focal_alpha: float | None
    asymmetric_gamma_positive: float  # these three with kind="asymmetric"
    asymmetric_gamma_negative: float
    asymmetric_margin: float
    gradient: bool
    gradient_dtype: GradientType | np.dtype[Any] | type | None  # None: the logits'
    gradient_out: Any  # an array or a CPU tensor of the logits' shape; it has the dtype
    nan_policy: NanPolicy
    target_range: TargetRange
    request_id: str


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
    `gradient_out`, that is what `gradient` is.
    """

    loss: float
    losses: NDArray[Any] | None
    gradient: NDArray[Any] | None
    normalizer: float
    valid_count: int
    nan_count: int
    execution: Execution
    request_id: str


@dataclass(frozen=True, eq=False)
class WireTensor:
    """A tensor as its bytes are sent; `data` is a view where the array is fit for it."""

    data_type: Any
    shape: tuple[int, ...]
    data: memoryview


def to_wire(name: str, array: ArrayLike) -> WireTensor:
    """`array` as bytes. TypeError, naming `name`, for what cannot be sent."""
    arguments.refuse_mask(name, array)
    with arguments.naming(name):
        values, data_type = _values_of(array)
    if data_type is None:
        known = ", ".join(["bfloat16", *(str(dtype.name) for dtype in _DATA_TYPES)])
        raise TypeError(f"{name}: dtype {values.dtype} is none of {known}")
    wire = values.dtype.newbyteorder("<")
    data = np.ascontiguousarray(values, dtype=wire).reshape(-1).view(np.uint8)
    return WireTensor(data_type, values.shape, data.data)


def to_tensor(name: str, array: ArrayLike, memory: SharedMemory | None = None) -> tensor_pb2.Tensor:
    """`array` as a message: by reference if it lies in `memory`, else copied.

    TypeError, naming `name`, for what cannot be sent.
    """
    wire = to_wire(name, array)
    reference = memory.reference(np.asarray(wire.data)) if memory is not None else None
    if reference is not None:
        return tensor_pb2.Tensor(dtype=wire.data_type, shape=wire.shape, shared_memory=reference)
    return tensor_pb2.Tensor(dtype=wire.data_type, shape=wire.shape, data=wire.data.tobytes())


def lies_in(array: ArrayLike, memory: SharedMemory) -> bool:
    """Whether to_tensor() would name the array's bytes instead of copying them."""
    values, _ = _values_of(array)
    return memory.reference(values) is not None


def _values_of(array: ArrayLike) -> tuple[NDArray[Any], Any]:
    """An array of the same bytes, and their data type; None: lossd has none."""
    torch = sys.modules.get("torch")  # whoever has a tensor has imported it
    if torch is not None and isinstance(array, torch.Tensor):
        tensor = array.detach().cpu()
        if tensor.dtype == torch.bfloat16:
            return tensor.view(torch.int16).numpy(), tensor_pb2.DATA_TYPE_BFLOAT16
        return _values_of(tensor.numpy())
    values = np.asarray(array)
    if values.dtype.name == "bfloat16":
        return values.view(np.int16), tensor_pb2.DATA_TYPE_BFLOAT16
    return values, _DATA_TYPES.get(values.dtype.newbyteorder("<"))


def to_targets(targets: Targets, memory: SharedMemory | None = None) -> tensor_pb2.Tensor:
    """Targets of any form as a message."""
    if isinstance(targets, Identity):
        return tensor_pb2.Tensor(identity=tensor_pb2.Identity(diagonal=targets.diagonal))
    if isinstance(targets, Bits):
        return tensor_pb2.Tensor(
            dtype=tensor_pb2.DATA_TYPE_BIT, shape=targets.shape, data=targets.packed
        )
    if isinstance(targets, SparseMatrix):
        targets = from_sparse(targets)
    if isinstance(targets, Ones):
        sparse = tensor_pb2.SparseIndices(
            row_splits=targets.row_splits.tolist(), columns=targets.columns.tolist()
        )
        return tensor_pb2.Tensor(shape=targets.shape, ones=sparse)
    return to_tensor("targets", targets, memory)


def _gradient_place(out: Any) -> tuple[NDArray[Any], Any]:
    """`out` as an array over its own memory, and its data type; ValueError if it has none."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(out, torch.Tensor):
        if out.device.type != "cpu":
            raise ValueError(f"gradient_out: a tensor on {out.device}, not in the CPU's memory")
    elif not isinstance(out, np.ndarray):
        raise TypeError(f"gradient_out: {type(out).__name__} is neither an array nor a tensor")
    values, data_type = _values_of(out)
    if data_type is None or values.dtype != values.dtype.newbyteorder("<"):
        raise ValueError(f"gradient_out: dtype {values.dtype} is none that lossd writes")
    if not values.flags.c_contiguous or not values.flags.writeable:
        raise ValueError("gradient_out: must be C-contiguous and writable")
    return values, data_type


def gradient_place(spec: loss_spec_pb2.LossSpec, shape: tuple[int, ...], out: Any) -> NDArray[Any]:
    """`out` as an array over its own memory; `spec` then asks for a gradient of its type.

    ValueError if the gradient of logits of `shape` does not fit there.
    """
    values, data_type = _gradient_place(out)
    if spec.gradient == loss_spec_pb2.GRADIENT_MODE_OMIT:
        raise ValueError("gradient_out: with gradient=False there is none")
    if spec.gradient_dtype not in (tensor_pb2.DATA_TYPE_UNSPECIFIED, data_type):
        raise ValueError(f"gradient_out: dtype {values.dtype} is not gradient_dtype")
    if values.shape != shape:
        raise ValueError(f"gradient_out: shape {values.shape} is not the logits', {shape}")
    spec.gradient_dtype = data_type
    return values


def _set_gradient_out(
    request: loss_service_pb2.ComputeLossRequest, out: Any, memory: SharedMemory | None
) -> None:
    """Asks for the gradient in `out`; what is not in shared memory is copied to later."""
    values = gradient_place(request.spec, tuple(request.logits.shape), out)
    reference = memory.reference(values) if memory is not None else None
    if reference is not None and reference.offset % _GRADIENT_ALIGNMENT == 0:
        request.gradient_destination.CopyFrom(reference)


def to_array(tensor: tensor_pb2.Tensor) -> NDArray[Any]:
    """The elements of a reply's tensor, not copied where NumPy has their type."""
    return from_wire(tensor.dtype, tuple(tensor.shape), tensor.data)


def from_wire(data_type: Any, shape: tuple[int, ...], data: Any) -> NDArray[Any]:
    """Elements from their bytes, not copied where NumPy has their type."""
    if data_type != tensor_pb2.DATA_TYPE_BFLOAT16:
        return np.frombuffer(data, dtype=_WIRE_TYPES[data_type]).reshape(shape)
    halves = np.frombuffer(data, dtype="<u2").reshape(shape)
    if _bfloat16 is not None and sys.byteorder == "little":
        return halves.view(_bfloat16)
    return (halves.astype("<u4") << 16).view("<f4")


def _gradient_type(dtype: GradientType | np.dtype[Any] | type | None) -> Any:
    if dtype is None:
        return tensor_pb2.DATA_TYPE_UNSPECIFIED
    with arguments.naming("gradient_dtype"):
        name = dtype if isinstance(dtype, str) else np.dtype(dtype).name
    known = ["float32", "float64", "bfloat16", "float16"]
    if name not in known:
        raise ValueError(f"gradient_dtype: {name!r} is none of {', '.join(known)}")
    return tensor_pb2.DataType.Value(f"DATA_TYPE_{name.upper()}")


def _enum(enum: Any, prefix: str, argument: str, value: str) -> Any:
    name = f"{prefix}_{value.upper()}" if isinstance(value, str) else ""  # None is not "none"
    if name not in enum.keys() or name.endswith("_UNSPECIFIED"):  # noqa: SIM118
        known = [key.removeprefix(f"{prefix}_").lower() for key in enum.keys()[1:]]  # noqa: SIM118
        raise ValueError(f"{argument}: {value!r} is none of {', '.join(known)}")
    return enum.Value(name)


def to_spec(
    *,
    kind: Kind = "sigmoid_cross_entropy",
    reduction: Reduction = "mean",
    normalizer: Normalizer = "elements",
    normalizer_value: float | None = None,
    loss_weight: float | None = None,
    ignore_target: float | None = None,
    label_smoothing: float = 0.0,
    focal_gamma: float = 0.0,
    focal_alpha: float | None = None,
    asymmetric_gamma_positive: float = 0.0,
    asymmetric_gamma_negative: float = 0.0,
    asymmetric_margin: float = 0.0,
    gradient: bool = True,
    gradient_dtype: GradientType | np.dtype[Any] | type | None = None,
    nan_policy: NanPolicy = "reject",
    target_range: TargetRange = "unit_interval",
) -> loss_spec_pb2.LossSpec:
    """The options that say which loss. ValueError and TypeError name a bad argument."""
    spec = loss_spec_pb2.LossSpec(
        kind=_enum(loss_spec_pb2.LossKind, "LOSS_KIND", "kind", kind),
        reduction=_enum(loss_spec_pb2.Reduction, "REDUCTION", "reduction", reduction),
        normalizer=_enum(loss_spec_pb2.Normalizer, "NORMALIZER", "normalizer", normalizer),
        label_smoothing=arguments.number("label_smoothing", label_smoothing),
        focal_gamma=arguments.number("focal_gamma", focal_gamma),
        asymmetric_gamma_positive=arguments.number(
            "asymmetric_gamma_positive", asymmetric_gamma_positive
        ),
        asymmetric_gamma_negative=arguments.number(
            "asymmetric_gamma_negative", asymmetric_gamma_negative
        ),
        asymmetric_margin=arguments.number("asymmetric_margin", asymmetric_margin),
        gradient_dtype=_gradient_type(gradient_dtype),
        gradient=loss_spec_pb2.GRADIENT_MODE_RETURN
        if arguments.truth("gradient", gradient)
        else loss_spec_pb2.GRADIENT_MODE_OMIT,
        nan_policy=_enum(loss_spec_pb2.NanPolicy, "NAN_POLICY", "nan_policy", nan_policy),
        target_range=_enum(loss_spec_pb2.TargetRange, "TARGET_RANGE", "target_range", target_range),
    )
    if normalizer_value is not None:
        spec.normalizer_value = arguments.number("normalizer_value", normalizer_value)
    if loss_weight is not None:
        spec.loss_weight = arguments.number("loss_weight", loss_weight)
    if focal_alpha is not None:
        spec.focal_alpha = arguments.number("focal_alpha", focal_alpha)
    if ignore_target is not None:
        spec.ignore_target = arguments.number("ignore_target", ignore_target)
    arguments.check_parameters(spec)
    return spec


def to_request(
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
) -> loss_service_pb2.ComputeLossRequest:
    """The arguments of compute_loss() as a message.

    ValueError and TypeError name a bad argument.
    """
    request = loss_service_pb2.ComputeLossRequest(
        spec=to_spec(**spec),
        logits=to_tensor("logits", logits, memory),
        targets=to_targets(targets, memory),
        request_id=arguments.text("request_id", request_id),
    )
    optional = {
        "weights": weights,
        "pos_weight": pos_weight,
        "upstream_gradient": upstream_gradient,
    }
    for name, array in optional.items():
        if array is not None:
            getattr(request, name).CopyFrom(to_tensor(name, array, memory))
    if gradient_out is not None:
        _set_gradient_out(request, gradient_out, memory)
    return request


def put_gradient(data: Any, out: Any) -> Any:
    """The bytes of a gradient in `out`, where gradient_place() saw that they fit."""
    values, _ = _gradient_place(out)
    values.reshape(-1).view(np.uint8)[:] = np.frombuffer(data, np.uint8)
    return out


def _gradient_of(reply: loss_service_pb2.ComputeLossResponse, out: Any) -> Any:
    if out is None:
        return to_array(reply.gradient) if reply.HasField("gradient") else None
    if reply.HasField("gradient"):  # else the server wrote it there
        return put_gradient(reply.gradient.data, out)
    return out


def to_result(reply: loss_service_pb2.ComputeLossResponse, gradient_out: Any = None) -> LossResult:
    """The answer, its gradient in `gradient_out` if that is given."""
    execution = reply.execution
    return LossResult(
        loss=reply.loss,
        losses=to_array(reply.losses) if reply.HasField("losses") else None,
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
