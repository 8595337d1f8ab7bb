"""The operators as functions of autograd, for code that runs as it is written (D74).

They compute what those of operators.py do. PyTorch spends a third of the time on them, because
neither a compiler nor a transform has to see what they do.
"""

from __future__ import annotations

from typing import Any

import torch

from lossd.torch import calls, operators
from lossd.torch.calls import Inputs, scaled

_PLAIN = (torch.Tensor, torch.nn.Parameter, type(None))

# PyTorch 2.4 has no such function; a graph may then be used again.
_graph_is_kept = getattr(torch._C._autograd, "_get_current_graph_task_keep_graph", lambda: True)


def applies(*tensors: Any) -> bool:
    """Returns whether nothing but autograd looks at the operators.

    A compiler, an exporter, a transform or a mode of dispatch does, and so may a subclass.
    """
    if (
        torch.compiler.is_compiling()
        or torch.jit.is_tracing()
        or torch._C._are_functorch_transforms_active()
        or torch._C._len_torch_dispatch_stack() > 0
    ):
        return False
    # An ordinary loop, which is faster than any() of a generator.
    for tensor in tensors:  # noqa: SIM110
        if type(tensor) not in _PLAIN:
            return False
    return True


class Value(torch.autograd.Function):
    """The operator `value`."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> torch.Tensor:
        return calls.value(Inputs(*inputs))


class ValueAndGradient(torch.autograd.Function):
    """The operator `value_and_gradient`, whose second output stays inside."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> torch.Tensor:
        value, gradient = calls.value_and_gradient(Inputs(*inputs))
        *tensors, ctx.server, ctx.options = inputs
        ctx.save_for_backward(*tensors, gradient)
        return value

    @staticmethod
    def backward(ctx: Any, upstream: torch.Tensor) -> Any:
        *tensors, gradient = ctx.saved_tensors
        dtype = tensors[0].dtype
        plain = applies(upstream, gradient)
        if torch.is_grad_enabled():  # there may be a second backward pass
            if plain:
                gradient = _Gradient.apply(gradient, *tensors, ctx.server, ctx.options)
            else:
                gradient = operators.value_and_gradient(*tensors, ctx.server, ctx.options)[1]
            return scaled(upstream, gradient).to(dtype), *(None,) * 6
        # On a GPU the comparison would wait for it.
        is_one = plain and upstream.dim() == 0 and upstream.is_cpu and upstream.item() == 1
        if is_one and (gradient.dtype != dtype or not _graph_is_kept()):
            return gradient.to(dtype), *(None,) * 6
        return scaled(upstream, gradient).to(dtype), *(None,) * 6


class _Gradient(torch.autograd.Function):
    """A gradient that is known, as a function of the logits."""

    @staticmethod
    def forward(ctx: Any, gradient: torch.Tensor, *inputs: Any) -> torch.Tensor:
        *tensors, ctx.server, ctx.options = inputs
        ctx.save_for_backward(*tensors)
        return gradient

    @staticmethod
    def backward(ctx: Any, upstream: torch.Tensor) -> Any:
        inputs = (*ctx.saved_tensors, ctx.server, ctx.options)
        if applies(upstream):
            second = _SecondDerivative.apply(*inputs)
        else:
            second = operators.second_derivative(*inputs)
        return None, (upstream * second).to(inputs[0].dtype), *(None,) * 6


class _SecondDerivative(torch.autograd.Function):
    """The operator `second_derivative`."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> torch.Tensor:
        return calls.second_derivative(Inputs(*inputs))

    @staticmethod
    def backward(ctx: Any, upstream: torch.Tensor) -> Any:
        return operators.NO_THIRD_DERIVATIVE(ctx, upstream)
