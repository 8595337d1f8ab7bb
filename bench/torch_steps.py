"""The steps that PyTorch computes in a process of the bench, in float32.

A step is one call that returns the mean loss and the gradient with respect to the logits.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch_formulas
from torch.nn import functional

Step = Callable[[], tuple[torch.Tensor, torch.Tensor]]

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


def _compiled(formula: torch_formulas.Formula) -> Callable[..., Step]:
    """Compiles loss and gradient as one function that writes into memory it is given.

    The kernel is given its gradient's memory as well.
    """

    def make(logits: torch.Tensor, targets: torch.Tensor) -> Step:
        torch._dynamo.reset()
        gradient = torch.empty_like(logits)

        compiled = torch.compile(
            torch_formulas.writes_gradient(formula), dynamic=False, fullgraph=True
        )

        def step() -> tuple[torch.Tensor, torch.Tensor]:
            with torch.no_grad():
                return compiled(logits, targets, gradient), gradient

        return step

    return make


_MAKERS = {
    "eager_cross_entropy": _eager(functional.binary_cross_entropy_with_logits),
    "eager_focal": _eager(_focal),
    "formula_cross_entropy": _compiled(torch_formulas.cross_entropy),
    "formula_focal": _compiled(torch_formulas.focal),
}


def make(name: str, logits: np.ndarray, targets: np.ndarray) -> Step:
    """Returns the step of that name over these arrays."""
    return _MAKERS[name](torch.from_numpy(logits), torch.from_numpy(targets))
