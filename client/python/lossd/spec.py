"""The options of compute_loss(), and the LossSpec that they make."""

from __future__ import annotations

import functools
from typing import Any, Literal, NamedTuple, TypedDict

import numpy as np
from numpy.typing import ArrayLike

from lossd import arguments, element_type
from lossd.element_type import GRADIENT_TYPES, ElementType
from lossd.v1 import loss_spec_pb2

Kind = Literal[
    "sigmoid_cross_entropy",
    "sigmoid_focal",
    "asymmetric",
    "poly",
    "quality_focal",
    "varifocal",
]
Reduction = Literal["mean", "sum", "none", "rows", "mean_of_rows"]
Normalizer = Literal["elements", "valid", "batch", "nonzero_weights", "weight_sum", "caller"]
NanPolicy = Literal["reject", "propagate"]
TargetRange = Literal["unit_interval", "any"]
TargetShapeRule = Literal["same", "same_count"]
SoftTargetRule = Literal["linear", "mixture"]
GradientType = Literal["float32", "float64", "bfloat16", "float16", "float8_e4m3fn", "float8_e5m2"]


class PlainOptions(TypedDict, total=False):
    """The options that do not change what the gradient is returned as."""

    weights: ArrayLike | None
    pos_weight: ArrayLike | None
    upstream_gradient: ArrayLike | None
    kind: Kind
    reduction: Reduction
    normalizer: Normalizer | None
    normalizer_value: float | None
    loss_weight: float | None
    ignore_target: float | None
    label_smoothing: float
    label_smoothing_prior: float | None
    focal_gamma: float
    focal_alpha: float | None
    asymmetric_gamma_positive: float
    asymmetric_gamma_negative: float
    asymmetric_margin: float
    poly_epsilon: float
    soft_targets: SoftTargetRule
    detach_focus: bool
    second_derivative: bool
    second_derivative_out: Any
    gradient_dtype: Any  # a name, or a dtype of NumPy, ml_dtypes or PyTorch
    losses_dtype: Any  # a name or a dtype
    nan_policy: NanPolicy
    target_range: TargetRange
    target_shape_rule: TargetShapeRule
    request_id: str


class LossOptions(PlainOptions, total=False):
    """The options of compute_loss(), whose documentation has the meaning of each."""

    gradient: bool
    gradient_out: Any


# The options that are places for results.
OUTS = ("gradient_out", "second_derivative_out")
# The options that are tensors.
OPERANDS = ("weights", "pos_weight", "upstream_gradient")

# The parameters of each kind of loss with the values of its paper.
_PAPERS: dict[str, dict[str, float | None]] = {
    "sigmoid_focal": {"focal_gamma": 2, "focal_alpha": 0.25},
    "asymmetric": {
        "asymmetric_gamma_positive": 1,
        "asymmetric_gamma_negative": 4,
        "asymmetric_margin": 0.05,
    },
    "poly": {"poly_epsilon": 1, "focal_gamma": 0, "focal_alpha": None},
    "quality_focal": {"focal_gamma": 2},
    "varifocal": {"focal_gamma": 2, "focal_alpha": 0.75},
}
# One of these must be given with the kind: without them the loss is a plain cross-entropy, which
# nobody means who asks for the kind.
_REQUIRED = {
    "sigmoid_focal": ("focal_gamma",),
    "asymmetric": tuple(_PAPERS["asymmetric"]),
    "poly": ("poly_epsilon",),
    "quality_focal": ("focal_gamma",),
    "varifocal": ("focal_gamma",),
}
# Other options that some kinds alone read.
_OF_KINDS = {
    "soft_targets": ("sigmoid_focal", "poly"),
    "detach_focus": ("sigmoid_focal", "asymmetric"),
}

_ENUMS: dict[str, Any] = {
    "kind": loss_spec_pb2.LossKind,
    "reduction": loss_spec_pb2.Reduction,
    "normalizer": loss_spec_pb2.Normalizer,
    "nan_policy": loss_spec_pb2.NanPolicy,
    "target_range": loss_spec_pb2.TargetRange,
    "target_shape_rule": loss_spec_pb2.TargetShapeRule,
    "soft_targets": loss_spec_pb2.SoftTargetRule,
}
_PREFIXES = {name: f"{name}_".upper() for name in _ENUMS} | {
    "kind": "LOSS_KIND_",
    "soft_targets": "SOFT_TARGET_RULE_",
}
# For these, None is the same as leaving them out.
_OPTIONAL = (
    "normalizer",
    "normalizer_value",
    "loss_weight",
    "ignore_target",
    "focal_alpha",
    "label_smoothing_prior",
)

# Values of these types never change, so equal ones make equal specs.
CONSTANTS = (str, int, float, bool, type(None))


class Spec(NamedTuple):
    """The LossSpec of a call, and what the client itself has to know of it."""

    encoded: bytes
    has_gradient: bool
    gradient_type: ElementType | None  # None: the logits' type
    has_losses: bool
    has_row_losses: bool
    losses_type: ElementType | None  # None: the logits' type
    has_second_derivative: bool


class ParsedOptions(NamedTuple):
    """The options of one call, in the parts that a message has."""

    plain: dict[str, Any]  # what of() takes
    operands: dict[str, ArrayLike]  # those of OPERANDS that were given
    outs: dict[str, Any]  # those of OUTS that were given
    request_id: str


def parse(options: dict[str, Any]) -> ParsedOptions:
    """Returns the options of compute_loss() in parts; their values are not checked.

    Raises TypeError if a name is not one of LossOptions, for example a misspelt one, and if
    `request_id` is no text.
    """
    if not options:
        return _NO_OPTIONS
    arguments.known(NAMES, options)
    plain = {}
    operands = {}
    outs = {}
    request_id = ""
    for name, value in options.items():
        if name == "request_id":
            request_id = arguments.text(name, value)
        elif name in OPERANDS:
            if value is not None:
                operands[name] = value
        elif name not in OUTS:
            plain[name] = value
        elif value is not None:
            outs[name] = value
    return ParsedOptions(plain, operands, outs, request_id)


def of(options: dict[str, Any]) -> Spec:
    """Returns the Spec of options that are no tensors; ValueError and TypeError name a bad one."""
    if not options:
        return _DEFAULT
    if all(type(value) in CONSTANTS for value in options.values()):
        return _remembered(**options)
    return _make(options)


@functools.lru_cache(maxsize=256, typed=True)
def _remembered(**options: Any) -> Spec:
    return _make(options)


def _make(options: dict[str, Any]) -> Spec:
    spec = loss_spec_pb2.LossSpec()
    gradient_type = losses_type = None
    for name, value in options.items():
        if value is None and name in _OPTIONAL:
            continue
        if name in _ENUMS:
            setattr(spec, name, _enum(name, value))
        elif name == "gradient":
            if not arguments.truth(name, value):
                spec.gradient = loss_spec_pb2.GRADIENT_MODE_OMIT
        elif name == "second_derivative":
            if arguments.truth(name, value):
                spec.second_derivative = loss_spec_pb2.SECOND_DERIVATIVE_MODE_RETURN
        elif name == "detach_focus":
            spec.detach_focus = arguments.truth(name, value)
        elif name == "gradient_dtype":
            gradient_type = _result_type(name, value)
            if gradient_type is not None:
                spec.gradient_dtype = gradient_type.data_type
        elif name == "losses_dtype":
            losses_type = _result_type(name, value)
            if losses_type is not None:
                spec.losses_dtype = losses_type.data_type
        else:
            setattr(spec, name, arguments.number(name, value))
    _check_parameters(spec, options)
    _check_normalizer(spec, options)
    _check_readers(spec, options)
    return Spec(
        spec.SerializeToString(deterministic=True),
        spec.gradient != loss_spec_pb2.GRADIENT_MODE_OMIT,
        gradient_type,
        spec.reduction in (loss_spec_pb2.REDUCTION_NONE, loss_spec_pb2.REDUCTION_ROWS),
        spec.reduction == loss_spec_pb2.REDUCTION_ROWS,
        losses_type,
        spec.second_derivative == loss_spec_pb2.SECOND_DERIVATIVE_MODE_RETURN,
    )


def _enum(argument: str, value: Any) -> Any:
    enum, prefix = _ENUMS[argument], _PREFIXES[argument]
    # None would be "NONE" otherwise.
    name = f"{prefix}{value.upper()}" if isinstance(value, str) else ""
    if name not in enum.keys() or name.endswith("_UNSPECIFIED"):  # noqa: SIM118
        known = [key.removeprefix(prefix).lower() for key in enum.keys()[1:]]  # noqa: SIM118
        raise ValueError(f"{argument}: {value!r} is none of {', '.join(known)}")
    return enum.Value(name)


def _result_type(argument: str, dtype: Any) -> ElementType | None:
    if dtype is None:
        return None
    if isinstance(dtype, str) and element_type.by_name(dtype) is not None:
        name = dtype
    elif str(dtype).startswith("torch."):  # NumPy does not know these dtypes
        name = str(dtype).removeprefix("torch.")
    else:
        with arguments.naming(argument):
            try:
                name = np.dtype(dtype).name
            except TypeError:
                if not isinstance(dtype, str):
                    raise
                name = dtype
    known = element_type.by_name(name)
    if known not in GRADIENT_TYPES:
        raise ValueError(f"{argument}: {name!r} is none of {element_type.names(GRADIENT_TYPES)}")
    return known


def _check_parameters(spec: loss_spec_pb2.LossSpec, options: dict[str, Any]) -> None:
    """Raises ValueError if a parameter of the kind is missing, or one of another kind is set."""
    name = loss_spec_pb2.LossKind.Name(spec.kind or loss_spec_pb2.LOSS_KIND_SIGMOID_CROSS_ENTROPY)
    kind = name.removeprefix("LOSS_KIND_").lower()
    for parameter, owners in _OWNERS.items():
        given = options.get(parameter)
        # The default of focal_alpha is not 0 but no alpha, and soft_targets has none.
        has_default = parameter not in ("focal_alpha", "soft_targets")
        if kind not in owners and given is not None and not (has_default and given == 0):
            *others, last = owners
            readers = f"{', '.join(others)} or {last}" if others else last
            raise _unread(parameter, "kind", readers, kind)
    required = _REQUIRED.get(kind, ())
    if required and all(options.get(parameter) is None for parameter in required):
        papers = ", ".join(f"{name}={value}" for name, value in _PAPERS[kind].items())
        raise ValueError(
            f"{required[0]}: kind {kind} needs it; its paper's parameters are {papers}"
        )


def _check_normalizer(spec: loss_spec_pb2.LossSpec, options: dict[str, Any]) -> None:
    """Raises ValueError if an option about the divisor is missing or has no effect."""
    undivided = (loss_spec_pb2.REDUCTION_SUM, loss_spec_pb2.REDUCTION_NONE)
    if spec.normalizer and spec.reduction in undivided:
        readers = "mean, rows or mean_of_rows"
        raise _unread("normalizer", "reduction", readers, options["reduction"].lower())
    has_value = options.get("normalizer_value") is not None
    by_caller = spec.normalizer == loss_spec_pb2.NORMALIZER_CALLER
    if has_value and not by_caller:
        chosen = options.get("normalizer") or "elements"
        raise _unread("normalizer_value", "normalizer", "caller", chosen.lower())
    if by_caller and not has_value:
        raise ValueError("normalizer_value: normalizer='caller' needs it")


def _check_readers(spec: loss_spec_pb2.LossSpec, options: dict[str, Any]) -> None:
    """Raises ValueError if an option is set that no other option reads."""
    with_losses = (loss_spec_pb2.REDUCTION_NONE, loss_spec_pb2.REDUCTION_ROWS)
    if spec.losses_dtype and spec.reduction not in with_losses:
        chosen = (options.get("reduction") or "mean").lower()
        raise _unread("losses_dtype", "reduction", "none or rows", chosen)
    if options.get("label_smoothing_prior") is not None and not spec.label_smoothing:
        raise ValueError("label_smoothing_prior: has no effect without label_smoothing")


def _unread(name: str, option: str, reader: str, chosen: str) -> ValueError:
    return ValueError(
        f"{name}: is for {option} {reader}, and the {option} is {chosen}, which would ignore it"
    )


# The kinds that read each parameter.
_OWNERS = {
    parameter: tuple(kind for kind, parameters in _PAPERS.items() if parameter in parameters)
    for parameters in _PAPERS.values()
    for parameter in parameters
} | _OF_KINDS
NAMES = frozenset(LossOptions.__annotations__)
# The options that say which tensors are returned, and how. The modules for frameworks choose these.
OF_RESULTS = frozenset(
    {
        "gradient",
        "gradient_dtype",
        "losses_dtype",
        "second_derivative",
        *OUTS,
    }
)
_NO_OPTIONS = ParsedOptions({}, {}, {}, "")
_DEFAULT = _make({})
