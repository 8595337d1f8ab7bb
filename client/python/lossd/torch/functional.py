"""The losses as functions of tensors."""

from __future__ import annotations

import warnings
from typing import Any

import torch

from lossd import arguments, spec
from lossd.client import Client
from lossd.element_type import FLOAT8_TYPES, GRADIENT_TYPES, ElementType, names
from lossd.torch import distributed, eager, operators, options, servers

# The options of compute_loss() that are tensors here, or that the operators choose.
_OWN = spec.OF_RESULTS | {"weights", "pos_weight", "upstream_gradient"}


def _dtypes(types: tuple[ElementType, ...]) -> tuple[torch.dtype, ...]:
    """Returns PyTorch's types of these names; it has had float8 from 2.1 on."""
    return tuple(getattr(torch, known.name) for known in types if hasattr(torch, known.name))


_LOGITS_TYPES = _dtypes(GRADIENT_TYPES)
_FLOAT8_TYPES = _dtypes(FLOAT8_TYPES)


def sigmoid_cross_entropy(
    input: torch.Tensor,
    target: torch.Tensor,
    weight: torch.Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: torch.Tensor | None = None,
    *,
    client: Client | str | None = None,
    normalizer_value: float | torch.Tensor | None = None,
    process_group: Any = None,
    **more: Any,
) -> torch.Tensor:
    """Returns the loss of torch.nn.functional.binary_cross_entropy_with_logits().

    The arguments before `client` are that function's; SigmoidCrossEntropyLoss has the others.
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    text = encoded("sigmoid_cross_entropy", reduction, more)
    return compute(
        input,
        target,
        weight,
        pos_weight,
        normalizer_value,
        process_group,
        servers.name_of(client),
        text,
    )


def sigmoid_focal_loss(
    inputs: torch.Tensor,
    targets: torch.Tensor,
    alpha: float | None = 0.25,
    gamma: float = 2,
    reduction: str = "none",
    *,
    weight: torch.Tensor | None = None,
    pos_weight: torch.Tensor | None = None,
    client: Client | str | None = None,
    normalizer_value: float | torch.Tensor | None = None,
    process_group: Any = None,
    **more: Any,
) -> torch.Tensor:
    """Returns the loss of torchvision.ops.sigmoid_focal_loss().

    The arguments before `weight` are that function's, in which an `alpha` below 0, or None,
    balances nothing. SigmoidCrossEntropyLoss has the others.
    """
    text = encoded("sigmoid_focal", reduction, {**focal_options(alpha, gamma), **more})
    return compute(
        inputs,
        targets,
        weight,
        pos_weight,
        normalizer_value,
        process_group,
        servers.name_of(client),
        text,
    )


def asymmetric_loss(
    logits: torch.Tensor,
    targets: torch.Tensor,
    gamma_neg: float = 4,
    gamma_pos: float = 1,
    clip: float = 0.05,
    reduction: str = "mean",
    *,
    weight: torch.Tensor | None = None,
    pos_weight: torch.Tensor | None = None,
    client: Client | str | None = None,
    normalizer_value: float | torch.Tensor | None = None,
    process_group: Any = None,
    **more: Any,
) -> torch.Tensor:
    """Returns the asymmetric loss for multi-label classification (Ridnik et al., 2021).

    `clip` is the margin. SigmoidCrossEntropyLoss has the other arguments.
    """
    parameters = asymmetric_options(gamma_neg, gamma_pos, clip)
    text = encoded("asymmetric", reduction, {**parameters, **more})
    return compute(
        logits,
        targets,
        weight,
        pos_weight,
        normalizer_value,
        process_group,
        servers.name_of(client),
        text,
    )


def focal_options(alpha: float | None, gamma: float) -> dict[str, Any]:
    """Returns the options of compute_loss() for torchvision's arguments."""
    balance = None if alpha is None or alpha < 0 else alpha
    return {"focal_gamma": gamma, "focal_alpha": balance}


def asymmetric_options(gamma_neg: float, gamma_pos: float, clip: float) -> dict[str, Any]:
    """Returns the options of compute_loss() for the arguments that packages have."""
    return {
        "asymmetric_gamma_negative": gamma_neg,
        "asymmetric_gamma_positive": gamma_pos,
        "asymmetric_margin": clip,
    }


def legacy_reduction(size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    """Returns the reduction that PyTorch's deprecated arguments stand for, and warns of them."""
    if size_average is None and reduce is None:
        return reduction
    if reduce is not None and not reduce:
        meant = "none"
    else:
        meant = "sum" if size_average is not None and not size_average else "mean"
    warnings.warn(
        f"size_average, reduce: are deprecated; give reduction={meant!r}",
        FutureWarning,
        stacklevel=3,
    )
    return meant


def encoded(kind: str, reduction: str, more: dict[str, Any]) -> str:
    """Returns the options as the operators take them.

    A NaN logit has the loss NaN unless `nan_policy` says otherwise: training code expects that,
    and a gradient scaler skips such a step.
    """
    given = {"timeout": arguments.STEP_TIMEOUT_SECONDS, "nan_policy": "propagate", **more}
    return options.encode({"kind": kind, "reduction": reduction, **given})


def compute(
    logits: torch.Tensor,
    targets: torch.Tensor,
    weight: torch.Tensor | None,
    pos_weight: torch.Tensor | None,
    normalizer_value: float | torch.Tensor | None,
    process_group: Any,
    server: str,
    text: str,
) -> torch.Tensor:
    """Returns the loss of tensors that it has checked.

    `server` is the name of a Server, and `text` is that of encoded().
    """
    _check(logits, targets, weight, pos_weight)
    divisor = _divisor(logits, targets, weight, normalizer_value, process_group, text)
    inputs = (logits, targets, weight, pos_weight, divisor, server, text)
    return differentiable(inputs)


def differentiable(inputs: tuple[Any, ...]) -> torch.Tensor:
    """Returns what the operators make of their inputs, in the type that PyTorch's loss has."""
    logits = inputs[0]
    differentiated = torch.is_grad_enabled() and logits.requires_grad
    if eager.applies(*inputs[:5]):
        loss = (eager.ValueAndGradient if differentiated else eager.Value).apply(*inputs)
    elif differentiated:
        loss = operators.value_and_gradient(*inputs)[0]
    else:
        loss = operators.value(*inputs)
    # PyTorch's own loss is one of the functions that autocast has return float32. PyTorch has no
    # loss of float8, whose few digits would be too few for one.
    is_wide = logits.dtype in _FLOAT8_TYPES or torch.is_autocast_enabled(logits.device.type)
    if loss.dtype != logits.dtype and not is_wide:
        loss = loss.to(logits.dtype)
    found: torch.Tensor = loss
    return found


def _divisor(
    logits: torch.Tensor,
    targets: torch.Tensor,
    weight: torch.Tensor | None,
    normalizer_value: float | torch.Tensor | None,
    process_group: Any,
    text: str,
) -> torch.Tensor | None:
    if normalizer_value is not None:
        if process_group is not None:
            raise ValueError("normalizer_value: process_group counts the elements itself")
        return as_divisor(normalizer_value)
    if process_group is None:
        return None
    of_loss = options.decode(text).of_loss
    if of_loss["reduction"] != "mean":
        raise ValueError(f"process_group: is for reduction mean, not {of_loss['reduction']}")
    normalizer = of_loss.get("normalizer")
    ignored = of_loss.get("ignore_target")
    return distributed.divisor(normalizer, logits, targets, weight, ignored, process_group)


def as_divisor(value: float | torch.Tensor) -> torch.Tensor:
    """Returns a number as the tensor that the operators take, so that no graph depends on it."""
    if isinstance(value, torch.Tensor):
        return value.detach()
    return torch.tensor(value, dtype=torch.float64)


def _check(
    logits: torch.Tensor,
    targets: torch.Tensor,
    weight: torch.Tensor | None,
    pos_weight: torch.Tensor | None,
) -> None:
    """Raises what PyTorch raises for tensors that do not belong together."""
    check_logits("input", logits)
    if not isinstance(targets, torch.Tensor):
        raise TypeError(f"target: {type(targets).__name__} is not a tensor")
    if targets.shape != logits.shape:
        raise ValueError(
            f"target: its size {tuple(targets.shape)} is not that of the input, "
            f"{tuple(logits.shape)}"
        )
    for name, tensor in (("target", targets), ("weight", weight), ("pos_weight", pos_weight)):
        if tensor is not None:
            check_other(name, tensor, logits)


def check_logits(name: str, logits: Any) -> None:
    """Raises TypeError for logits that the server does not take, and RuntimeError on `meta`."""
    if not isinstance(logits, torch.Tensor):
        raise TypeError(f"{name}: {type(logits).__name__} is not a tensor")
    if logits.dtype not in _LOGITS_TYPES:
        raise TypeError(f"{name}: {logits.dtype} is none of {names(GRADIENT_TYPES)}")
    if logits.device.type not in ("cpu", "cuda"):
        raise RuntimeError(f"{name}: is on {logits.device}; lossd takes tensors on cpu and cuda")


def check_other(name: str, tensor: torch.Tensor, logits: torch.Tensor) -> None:
    """Raises RuntimeError for a tensor on another device, or that asks for a gradient."""
    if tensor.device != logits.device and tensor.dim() > 0:
        raise RuntimeError(
            f"{name}: is on {tensor.device}, and the input is on {logits.device}; all tensors "
            "have to be on one device"
        )
    if tensor.requires_grad and torch.is_grad_enabled():
        raise NotImplementedError(
            f"{name}: lossd computes the gradient by the input alone; give {name}.detach()"
        )


def check_options(text: str) -> None:
    """Raises TypeError or ValueError, which name the option, before the first call does."""
    given = dict(options.decode(text).of_loss)
    given.pop("request_id", None)
    arguments.known(spec.NAMES - _OWN, given)
    spec.of(given)
