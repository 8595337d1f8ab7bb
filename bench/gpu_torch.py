"""Measures PyTorch's loss and gradient on the GPU; prints JSON.

The peers are the eager loss with its backward pass, and the formula of loss and gradient in one
function under torch.compile. gpu_bench.py runs this as a program of its own. It exits with 3 and a
reason if there is no PyTorch or no such device. --device=cpu tries it without a GPU.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import Any


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--elements", type=int, default=1 << 26)
    parser.add_argument("--steps", type=int, default=20, help="the steps of a round")
    arguments = parser.parse_args()
    if min(arguments.elements, arguments.steps) < 1:
        parser.error("--elements and --steps must be at least 1")
    try:
        import torch
    except ImportError as error:
        print(f"no PyTorch: {error}", file=sys.stderr)
        return 3
    if arguments.device == "cuda" and not torch.cuda.is_available():
        print(f"PyTorch {torch.__version__} sees no CUDA device", file=sys.stderr)
        return 3
    print(json.dumps(measure(torch, arguments)))
    return 0


def measure(torch: Any, arguments: argparse.Namespace) -> dict[str, Any]:
    """Returns the version, the number of elements, and the rate of each peer."""
    elements, device = arguments.elements, arguments.device
    generator = torch.Generator(device=device).manual_seed(1)
    logits = torch.empty(elements, device=device).uniform_(-8, 8, generator=generator)
    targets = torch.empty(elements, device=device).bernoulli_(0.5, generator=generator)
    result: dict[str, Any] = {"version": str(torch.__version__), "elements": elements}
    eager = eager_step(torch, logits.clone(), targets)
    result["eager"] = elements_per_second(torch, eager, arguments)
    try:
        compiled = compiled_step(torch, logits, targets)
        check(torch, compiled(), eager())
        result["compiled"] = elements_per_second(torch, compiled, arguments)
    except Exception as error:  # whatever the compiler lacks on this machine
        result["compiled_reason"] = f"{type(error).__name__}: {error}".splitlines()[0]
    return result


def eager_step(torch: Any, logits: Any, targets: Any) -> Callable[[], tuple[Any, Any]]:
    logits.requires_grad_()

    def step() -> tuple[Any, Any]:
        logits.grad = None
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets)
        loss.backward()
        return loss.detach(), logits.grad

    return step


def compiled_step(torch: Any, logits: Any, targets: Any) -> Callable[[], tuple[Any, Any]]:
    from torch_formulas import cross_entropy, writes_gradient

    gradient = torch.empty_like(logits)
    compiled = torch.compile(writes_gradient(cross_entropy), dynamic=False, fullgraph=True)

    def step() -> tuple[Any, Any]:
        with torch.no_grad():
            return compiled(logits, targets, gradient), gradient

    return step


def check(torch: Any, got: tuple[Any, Any], expected: tuple[Any, Any]) -> None:
    """Raises RuntimeError if a loss and its gradient are not those expected."""
    for name, one, other in zip(("loss", "gradient"), got, expected, strict=True):
        if not torch.allclose(one, other, rtol=1e-3, atol=1e-5 / got[1].numel()):
            raise RuntimeError(f"the compiled formula computed another {name}")


def elements_per_second(
    torch: Any, step: Callable[[], object], arguments: argparse.Namespace
) -> float:
    """Returns the rate of the best of five rounds."""

    def wait() -> None:
        if arguments.device == "cuda":
            torch.cuda.synchronize()

    for _ in range(5):
        step()
    best = float("inf")
    for _ in range(5):
        wait()
        start = time.perf_counter()
        for _ in range(arguments.steps):
            step()
        wait()
        best = min(best, (time.perf_counter() - start) / arguments.steps)
    return float(arguments.elements / best)


if __name__ == "__main__":
    sys.exit(main())
