"""PyTorch's tensors, without a dependency on PyTorch."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any, Protocol, Self

from lossd.element_type import ElementType


class Tensor(Protocol):
    """Enough of a PyTorch tensor for a type checker to tell it from an array."""

    def detach(self) -> Self: ...

    def requires_grad_(self, requires_grad: bool = ...) -> Self: ...


def torch_of(value: Any) -> Any | None:
    """Returns the module torch if `value` is one of its tensors, else None.

    The module is looked up and never imported: a caller with a tensor has imported it.
    """
    torch = sys.modules.get("torch")
    return torch if torch is not None and isinstance(value, torch.Tensor) else None


def new_gradient(logits: Any, element_type: ElementType) -> Any | None:
    """Returns a new tensor of the logits' shape on their GPU, or None if the logits are not a
    PyTorch tensor on a GPU.
    """
    torch = torch_of(logits)
    if torch is None or logits.device.type != "cuda":
        return None
    return new_tensor(torch, logits.shape, element_type, logits.device)


def new_tensor(torch: Any, shape: Any, element_type: ElementType, device: Any = "cpu") -> Any:
    """Returns a new tensor, whose elements are not set; the default is the CPU's memory."""
    # torch.empty() makes plain memory outside of autograd, whatever subclass the logits are.
    return torch.empty(tuple(shape), dtype=getattr(torch, element_type.name), device=device)


def not_compiled(function: Callable[..., Any]) -> Any:
    """Has torch.compile() run a function as it is, because it cannot trace gRPC."""
    untraced: list[Callable[..., Any]] = []

    @functools.wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        dynamo = sys.modules.get("torch._dynamo")  # loaded by the first torch.compile()
        if dynamo is None:
            return function(*arguments, **options)
        if not untraced:
            untraced.append(dynamo.disable(function))
        return untraced[0](*arguments, **options)

    return call
