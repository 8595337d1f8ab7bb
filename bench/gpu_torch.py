"""Measures PyTorch's forward and backward of the same loss on the GPU; prints JSON.

It measures the loss eager and compiled. gpu_bench.py runs it as a program of its own. It
exits with 3 and a reason if there is no PyTorch with CUDA.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

ELEMENTS = 1 << 26


def main() -> int:
    try:
        import torch
    except ImportError as error:
        print(f"no PyTorch: {error}", file=sys.stderr)
        return 3
    if not torch.cuda.is_available():
        print(f"PyTorch {torch.__version__} sees no CUDA device", file=sys.stderr)
        return 3
    generator = torch.Generator(device="cuda").manual_seed(1)
    logits = torch.empty(ELEMENTS, device="cuda").uniform_(-8, 8, generator=generator)
    logits.requires_grad_()
    targets = torch.empty(ELEMENTS, device="cuda").bernoulli_(0.5, generator=generator)
    loss = torch.nn.functional.binary_cross_entropy_with_logits
    result: dict[str, Any] = {"version": str(torch.__version__), "elements": ELEMENTS}
    result["eager"] = elements_per_second(torch, loss, logits, targets)
    try:
        result["compiled"] = elements_per_second(torch, torch.compile(loss), logits, targets)
    except Exception as error:  # whatever the compiler lacks on this machine
        result["compiled_reason"] = f"{type(error).__name__}: {error}".splitlines()[0]
    print(json.dumps(result))
    return 0


def elements_per_second(torch: Any, loss: Callable[..., Any], logits: Any, targets: Any) -> float:
    """Returns the rate of the best of five rounds of twenty steps."""

    def step() -> None:
        logits.grad = None
        loss(logits, targets).backward()

    for _ in range(5):
        step()
    best = float("inf")
    for _ in range(5):
        start = torch.cuda.Event(enable_timing=True)
        end = torch.cuda.Event(enable_timing=True)
        start.record()
        for _ in range(20):
            step()
        end.record()
        end.synchronize()
        best = min(best, start.elapsed_time(end) / 20 / 1000)
    return float(ELEMENTS / best)


if __name__ == "__main__":
    sys.exit(main())
