"""The kernel's peer: PyTorch, eager, forward and backward, in this process."""

from __future__ import annotations

import time

import torch


def version() -> str:
    return str(torch.__version__)


def elements_per_second(elements: int, seconds: float) -> float:
    """Mean binary cross-entropy with logits and its gradient, float32, one thread."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(1)
    logits = torch.empty(elements).uniform_(-8, 8, generator=generator).requires_grad_()
    targets = torch.empty(elements).bernoulli_(0.5, generator=generator)

    def step() -> None:
        logits.grad = None
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets)
        torch.autograd.backward(loss)

    step()  # the first one allocates
    step()
    steps = 0
    start = time.perf_counter()
    while steps < 2 or time.perf_counter() - start < seconds:
        step()
        steps += 1
    return elements * steps / (time.perf_counter() - start)
