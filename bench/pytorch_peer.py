"""Measures the kernel's peer: eager PyTorch, forward and backward, in this process."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional


@dataclass(frozen=True)
class Loss:
    """A mean loss of logits and targets; `what` names it in a report."""

    what: str
    of: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def _focal(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Computes torchvision.ops.sigmoid_focal_loss with alpha 0.25, gamma 2 and mean."""
    alpha, gamma = 0.25, 2.0
    p = torch.sigmoid(logits)
    cross_entropy = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    p_t = p * targets + (1 - p) * (1 - targets)
    alpha_t = alpha * targets + (1 - alpha) * (1 - targets)
    return (alpha_t * (cross_entropy * (1 - p_t) ** gamma)).mean()


CROSS_ENTROPY = Loss(
    "mean binary cross-entropy with logits", functional.binary_cross_entropy_with_logits
)
FOCAL = Loss("torchvision's focal loss in eager operations", _focal)


def version() -> str:
    return str(torch.__version__)


def elements_per_second(loss: Loss, elements: int, seconds: float, threads: int = 1) -> float:
    """Returns how many elements a second get their loss and gradient, in float32."""
    torch.set_num_threads(threads)
    generator = torch.Generator().manual_seed(1)
    logits = torch.empty(elements).uniform_(-8, 8, generator=generator).requires_grad_()
    targets = torch.empty(elements).bernoulli_(0.5, generator=generator)

    def step() -> None:
        logits.grad = None
        torch.autograd.backward(loss.of(logits, targets))

    step()  # the first step allocates
    step()
    steps = 0
    start = time.perf_counter()
    while steps < 2 or time.perf_counter() - start < seconds:
        step()
        steps += 1
    return elements * steps / (time.perf_counter() - start)
