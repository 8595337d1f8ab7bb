"""The operators of lossd, which PyTorch's compiler, exporter and autograd know.

Each operator makes one call. `value_and_gradient` has the gradient as its second output, and that
output's own derivative is `second_derivative`. Autograd therefore differentiates a loss twice
without a call in the first backward pass.

16-bit logits have float32 losses and gradients here. The caller rounds them once, after the
upstream gradient has scaled them: the gradient of a mean would vanish before.
"""

from __future__ import annotations

from typing import Any

import torch

from lossd.errors import LossdError
from lossd.result import LossResult
from lossd.targets import identity
from lossd.torch import buffers, errors, options, servers

_INPUTS = (
    "(Tensor logits, Tensor? targets, Tensor? weight, Tensor? pos_weight, Tensor? divisor, "
    "str server, str options)"
)


def wide(dtype: torch.dtype) -> torch.dtype:
    """Returns the type in which logits of `dtype` have their loss and derivatives."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def _call(inputs: tuple[Any, ...], **wanted: Any) -> LossResult[Any, Any]:
    """Asks the server for what `wanted` names; ServerError if it does not answer."""
    logits, targets, weight, pos_weight, divisor, server, text = inputs
    of_loss, timeout, diagonal = options.decode(text)
    client = servers.named(server)
    given = {**of_loss, **wanted}
    if divisor is not None:
        given.update(normalizer="caller", normalizer_value=divisor.item())
    if logits.dtype in (torch.bfloat16, torch.float16):
        given["gradient_dtype"] = "float32"
        if of_loss["reduction"] in ("none", "rows"):
            given["losses_dtype"] = "float32"
    try:
        with buffers.staged(client, logits, targets) as stage:
            return client.compute_loss(
                stage.logits,
                stage.targets if diagonal is None else identity(diagonal),
                timeout=timeout,
                weights=weight,
                pos_weight=pos_weight,
                gradient_out=stage.gradient_out if given.get("gradient", True) else None,
                **given,
            )
    except LossdError as error:
        raise errors.of(error) from error


def _value_of(result: LossResult[Any, Any], logits: torch.Tensor) -> torch.Tensor:
    if result.losses is not None:
        losses: torch.Tensor = result.losses
        return losses
    return torch.tensor(result.loss, dtype=wide(logits.dtype), device=logits.device)


def _value(*inputs: Any) -> torch.Tensor:
    return _value_of(_call(inputs, gradient=False), inputs[0])


def _value_and_gradient(*inputs: Any) -> tuple[torch.Tensor, torch.Tensor]:
    result = _call(inputs)
    return _value_of(result, inputs[0]), result.gradient


def _second_derivative(*inputs: Any) -> torch.Tensor:
    second = _call(inputs, gradient=False, second_derivative=True).second_derivative
    if second is None:
        raise NotImplementedError(
            "second derivative: the server returned none; it is older than this client"
        )
    found: torch.Tensor = second
    return found


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
        # The loss of a row scales the gradient of all its elements.
        row_of_ones = (1,) * (gradient.dim() - of_value.dim())
        by_logits = of_value.reshape(of_value.shape + row_of_ones) * gradient
    if of_gradient is not None:
        second = of_gradient * second_derivative(*tensors, ctx.server, ctx.options)
        by_logits = second if by_logits is None else by_logits + second
    if by_logits is not None:
        by_logits = by_logits.to(tensors[0].dtype)
    return by_logits, *(None,) * 6


def _no_derivative(what: str) -> Any:
    def backward(ctx: Any, upstream: Any) -> tuple[Any, ...]:
        raise NotImplementedError(f"lossd.torch: {what}")

    return backward


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
    _no_derivative("lossd::value has no derivative; lossd::value_and_gradient has"),
)
value_and_gradient = _operator(
    "value_and_gradient",
    "(Tensor, Tensor)",
    _value_and_gradient,
    _empty_value_and_gradient,
    _backward,
)
second_derivative = _operator(
    "second_derivative",
    "Tensor",
    _second_derivative,
    _empty_gradient,
    _no_derivative("the server computes no third derivative"),
)
