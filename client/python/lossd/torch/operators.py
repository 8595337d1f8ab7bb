"""The operators of lossd, which PyTorch's compiler, exporter and transforms know.

Each operator makes one call. `value_and_gradient` has the gradient as its second output, and that
output's own derivative is `second_derivative`. Autograd therefore differentiates a loss twice
without a call in the first backward pass.

16-bit logits have float32 losses and gradients here. The caller rounds them once, after the
upstream gradient has scaled them: the gradient of a mean would vanish before.
"""

from __future__ import annotations

from typing import Any

import torch

from lossd.torch import calls, options
from lossd.torch.calls import Inputs, scaled, wide

_INPUTS = (
    "(Tensor logits, Tensor? targets, Tensor? weight, Tensor? pos_weight, Tensor? divisor, "
    "str server, str options)"
)


def _value(*inputs: Any) -> torch.Tensor:
    return calls.value(Inputs(*inputs))


def _value_and_gradient(*inputs: Any) -> tuple[torch.Tensor, torch.Tensor]:
    return calls.value_and_gradient(Inputs(*inputs))


def _second_derivative(*inputs: Any) -> torch.Tensor:
    return calls.second_derivative(Inputs(*inputs))


def _empty_value(*inputs: Any) -> torch.Tensor:
    logits, text = inputs[0], inputs[-1]
    shapes = {"none": logits.shape, "rows": logits.shape[:1]}
    shape = shapes.get(options.decode(text).of_loss["reduction"], ())
    return torch.empty(shape, dtype=wide(logits.dtype), device=logits.device)


def _empty_gradient(*inputs: Any) -> torch.Tensor:
    logits = inputs[0]
    return torch.empty(logits.shape, dtype=wide(logits.dtype), device=logits.device)


def _empty_value_and_gradient(*inputs: Any) -> tuple[torch.Tensor, torch.Tensor]:
    return _empty_value(*inputs), _empty_gradient(*inputs)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    # Without this the gradient of an output that nobody used would be zeros, and would cost a
    # call of second_derivative.
    ctx.set_materialize_grads(False)
    *tensors, ctx.server, ctx.options = inputs
    ctx.save_for_backward(*tensors, *([output[1]] if isinstance(output, tuple) else []))


def _backward(ctx: Any, of_value: Any, of_gradient: Any) -> tuple[Any, ...]:
    *tensors, gradient = ctx.saved_tensors
    by_logits = None
    if of_value is not None:
        by_logits = scaled(of_value, gradient)
    if of_gradient is not None:
        second = of_gradient * second_derivative(*tensors, ctx.server, ctx.options)
        by_logits = second if by_logits is None else by_logits + second
    if by_logits is not None:
        by_logits = by_logits.to(tensors[0].dtype)
    return by_logits, *(None,) * 6


def no_derivative(what: str) -> Any:
    """Returns a backward function that raises NotImplementedError."""

    def backward(ctx: Any, upstream: Any) -> tuple[Any, ...]:
        raise NotImplementedError(f"lossd.torch: {what}")

    return backward


NO_THIRD_DERIVATIVE = no_derivative("the server computes no third derivative")


def _operator(name: str, outputs: str, function: Any, fake: Any, backward: Any) -> Any:
    operator = torch.library.custom_op(
        f"lossd::{name}", function, mutates_args=(), schema=f"{_INPUTS} -> {outputs}"
    )
    operator.register_fake(fake)
    operator.register_autograd(backward, setup_context=_keep)
    return operator


value = _operator(
    "value",
    "Tensor",
    _value,
    _empty_value,
    no_derivative("lossd::value has no derivative; lossd::value_and_gradient has"),
)
value_and_gradient = _operator(
    "value_and_gradient",
    "(Tensor, Tensor)",
    _value_and_gradient,
    _empty_value_and_gradient,
    _backward,
)
second_derivative = _operator(
    "second_derivative", "Tensor", _second_derivative, _empty_gradient, NO_THIRD_DERIVATIVE
)
