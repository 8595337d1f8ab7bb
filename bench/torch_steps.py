"""The steps that PyTorch computes in a process of the bench, in float32.

A step is one call that returns the mean loss and the gradient with respect to the logits.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

Step = Callable[[], tuple[torch.Tensor, torch.Tensor]]
Formula = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]

CAPABILITIES = {"avx2": "AVX2", "avx512": "AVX512"}
VECTOR_BITS = {"avx2": 256, "avx512": 512}


def configure(instruction_set: str, threads: int, folder: Path) -> None:
    """Limits this process; compiled code goes to `folder`.

    ATEN_CPU_CAPABILITY limits the eager operations, simdlen the vectors that torch.compile
    writes, and march the instructions that the C++ compiler may choose beside them.
    Raises RuntimeError if PyTorch did not take the limit.
    """
    from torch._inductor import config

    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder)
    torch.set_num_threads(threads)
    if not instruction_set:
        return
    os.environ["ATEN_CPU_CAPABILITY"] = instruction_set
    config.cpp.simdlen = VECTOR_BITS[instruction_set]
    if instruction_set == "avx2":
        config.cpp.march = "x86-64-v3"
    capability = torch.backends.cpu.get_cpu_capability()
    if capability != CAPABILITIES[instruction_set]:
        raise RuntimeError(f"PyTorch computes with {capability}, not with {instruction_set}")


def _focal(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Computes torchvision.ops.sigmoid_focal_loss with alpha 0.25, gamma 2 and mean."""
    alpha, gamma = 0.25, 2.0
    p = torch.sigmoid(logits)
    cross_entropy = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    p_t = p * targets + (1 - p) * (1 - targets)
    alpha_t = alpha * targets + (1 - alpha) * (1 - targets)
    return (alpha_t * (cross_entropy * (1 - p_t) ** gamma)).mean()


# The forms of the formulas are the fastest of those tried under torch.compile.
def _cross_entropy_formula(
    logits: torch.Tensor, targets: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    z = torch.exp(-logits.abs())
    losses = logits.clamp(min=0) - logits * targets + torch.log1p(z)
    p = torch.where(logits >= 0, torch.ones_like(z), z) / (1 + z)
    return losses.mean(), (p - targets) * (1.0 / logits.numel())


def _focal_formula(
    logits: torch.Tensor, targets: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    z = torch.exp(-logits.abs())
    p = torch.sigmoid(logits)
    cross_entropy = logits.clamp(min=0) - logits * targets + torch.log1p(z)
    q = p + targets - 2 * p * targets  # 1 - p_t
    alpha_t = 0.75 - 0.5 * targets
    losses = alpha_t * cross_entropy * q * q
    slope = q * (p - targets) + 2 * cross_entropy * (1 - 2 * targets) * p * (1 - p)
    return losses.mean(), alpha_t * q * slope * (1.0 / logits.numel())


def _eager(loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> Callable[..., Step]:
    def make(logits: torch.Tensor, targets: torch.Tensor) -> Step:
        logits.requires_grad_()

        def step() -> tuple[torch.Tensor, torch.Tensor]:
            logits.grad = None
            value = loss(logits, targets)
            torch.autograd.backward(value)
            assert logits.grad is not None
            return value.detach(), logits.grad

        return step

    return make


def _compiled(formula: Formula) -> Callable[..., Step]:
    """Compiles loss and gradient as one function that writes into memory it is given.

    The kernel is given its gradient's memory as well.
    """

    def make(logits: torch.Tensor, targets: torch.Tensor) -> Step:
        torch._dynamo.reset()
        gradient = torch.empty_like(logits)

        def both(x: torch.Tensor, t: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
            loss, slope = formula(x, t)
            out.copy_(slope)
            return loss

        compiled = torch.compile(both, dynamic=False, fullgraph=True)

        def step() -> tuple[torch.Tensor, torch.Tensor]:
            with torch.no_grad():
                return compiled(logits, targets, gradient), gradient

        return step

    return make


_MAKERS = {
    "eager_cross_entropy": _eager(functional.binary_cross_entropy_with_logits),
    "eager_focal": _eager(_focal),
    "formula_cross_entropy": _compiled(_cross_entropy_formula),
    "formula_focal": _compiled(_focal_formula),
}


def make(name: str, logits: np.ndarray, targets: np.ndarray) -> Step:
    """Returns the step of that name over these arrays."""
    return _MAKERS[name](torch.from_numpy(logits), torch.from_numpy(targets))
