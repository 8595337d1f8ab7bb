"""PyTorch's tensors, without a dependency on PyTorch."""

from __future__ import annotations

import sys
from typing import Any

from lossd.element_type import ElementType


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
    # torch.empty() makes plain memory outside of autograd, whatever subclass the logits are.
    dtype = getattr(torch, element_type.name)
    return torch.empty(tuple(logits.shape), dtype=dtype, device=logits.device)
