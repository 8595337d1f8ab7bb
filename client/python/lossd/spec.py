"""The options of compute_loss(), and the LossSpec that they make."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypedDict

import numpy as np
from numpy.typing import ArrayLike

from lossd import arguments, element_type
from lossd.element_type import GRADIENT_TYPES
from lossd.v1 import loss_spec_pb2, tensor_pb2

Kind = Literal["sigmoid_cross_entropy", "sigmoid_focal", "asymmetric"]
Reduction = Literal["mean", "sum", "none"]
Normalizer = Literal["elements", "valid", "batch", "nonzero_weights", "weight_sum", "caller"]
NanPolicy = Literal["reject", "propagate"]
TargetRange = Literal["unit_interval", "any"]
TargetShapeRule = Literal["same", "same_count"]
GradientType = Literal["float32", "float64", "bfloat16", "float16"]


class LossOptions(TypedDict, total=False):
    """The options of compute_loss(); lossd/v1/loss_spec.proto defines the meaning of each."""

    weights: ArrayLike | None
    pos_weight: ArrayLike | None
    upstream_gradient: ArrayLike | None
    kind: Kind
    reduction: Reduction
    normalizer: Normalizer | None  # only with reduction="mean"; None: "elements"
    normalizer_value: float | None  # only with normalizer="caller"
    loss_weight: float | None
    ignore_target: float | None  # a value of the targets' type, or NaN
    label_smoothing: float
    focal_gamma: float  # only with kind="sigmoid_focal"
    focal_alpha: float | None  # only with kind="sigmoid_focal"
    asymmetric_gamma_positive: float  # only with kind="asymmetric"
    asymmetric_gamma_negative: float  # only with kind="asymmetric"
    asymmetric_margin: float  # only with kind="asymmetric"
    gradient: bool
    gradient_dtype: GradientType | np.dtype[Any] | type | None  # None: the logits' type
    gradient_out: Any  # an array or tensor of the logits' shape; its dtype is the gradient's
    nan_policy: NanPolicy  # of NaN logits, and of weights and the like that are not finite
    target_range: TargetRange
    target_shape_rule: TargetShapeRule  # "same": the logits' shape, dimensions of 1 apart
    request_id: str


# The options that are tensors.
OPERANDS = ("weights", "pos_weight", "upstream_gradient")


class ParsedOptions(NamedTuple):
    """The options of one call, in the parts that a message has."""

    spec: loss_spec_pb2.LossSpec
    operands: dict[str, ArrayLike]  # those of OPERANDS that were given
    gradient_out: Any
    request_id: str


def check_names(options: dict[str, Any]) -> None:
    """Raises TypeError if a name is not one of LossOptions, for example a misspelt one."""
    arguments.known(LossOptions.__annotations__, options)


def parse(*, gradient_out: Any = None, request_id: str = "", **options: Any) -> ParsedOptions:
    """Returns the options of compute_loss() in parts.

    Raises ValueError or TypeError, which name a bad option. The tensors are not checked.
    """
    given = {name: options.pop(name, None) for name in OPERANDS}
    operands = {name: array for name, array in given.items() if array is not None}
    return ParsedOptions(
        to_spec(**options), operands, gradient_out, arguments.text("request_id", request_id)
    )


def _gradient_type(
    dtype: GradientType | np.dtype[Any] | type | None,
) -> tensor_pb2.DataType:
    if dtype is None:
        return tensor_pb2.DATA_TYPE_UNSPECIFIED
    with arguments.naming("gradient_dtype"):
        is_torch = str(dtype).startswith("torch.")  # NumPy does not know these dtypes
        name = str(dtype) if is_torch or isinstance(dtype, str) else np.dtype(dtype).name
    name = name.removeprefix("torch.")
    known = element_type.by_name(name)
    if known not in GRADIENT_TYPES:
        raise ValueError(
            f"gradient_dtype: {name!r} is none of {element_type.names(GRADIENT_TYPES)}"
        )
    return known.data_type


def _enum(enum: Any, prefix: str, argument: str, value: str) -> Any:
    name = (
        f"{prefix}_{value.upper()}" if isinstance(value, str) else ""
    )  # else None would be "NONE"
    if name not in enum.keys() or name.endswith("_UNSPECIFIED"):  # noqa: SIM118
        known = [key.removeprefix(f"{prefix}_").lower() for key in enum.keys()[1:]]  # noqa: SIM118
        raise ValueError(f"{argument}: {value!r} is none of {', '.join(known)}")
    return enum.Value(name)


def to_spec(
    *,
    kind: Kind = "sigmoid_cross_entropy",
    reduction: Reduction = "mean",
    normalizer: Normalizer | None = None,
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
    target_shape_rule: TargetShapeRule = "same",
) -> loss_spec_pb2.LossSpec:
    """Returns the options as a LossSpec; ValueError and TypeError name a bad argument."""
    spec = loss_spec_pb2.LossSpec(
        kind=_enum(loss_spec_pb2.LossKind, "LOSS_KIND", "kind", kind),
        reduction=_enum(loss_spec_pb2.Reduction, "REDUCTION", "reduction", reduction),
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
        target_shape_rule=_enum(
            loss_spec_pb2.TargetShapeRule,
            "TARGET_SHAPE_RULE",
            "target_shape_rule",
            target_shape_rule,
        ),
    )
    if normalizer is not None:
        spec.normalizer = _enum(loss_spec_pb2.Normalizer, "NORMALIZER", "normalizer", normalizer)
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
