"""Computes losses with a framework in this process, as ./dev bench asks for line by line.

Each line of the input is an object {"step", "elements", "seconds"}, each line of the output an
object {"rate"} in elements a second, or {"error"}. Before a step is timed, its loss and its
gradient are compared with NumPy's in float64.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

# Instructions of AVX-512: 512-bit registers, the upper 16 of the others, and masks.
AVX512 = ("%zmm", *(f"%ymm{n}" for n in range(16, 32)), *(f"%k{n}" for n in range(1, 8)))


def expected(step: str, x: np.ndarray, t: np.ndarray) -> tuple[float, np.ndarray]:
    """Returns the mean loss and n times its gradient, in float64."""
    x, t = x.astype(np.float64), t.astype(np.float64)
    p = 1 / (1 + np.exp(-x))
    losses = np.logaddexp(0, x) - x * t
    if step.endswith("cross_entropy"):
        return float(losses.mean()), p - t
    q = p * (1 - t) + (1 - p) * t
    alpha = 0.25 * t + 0.75 * (1 - t)
    slope = alpha * (q * q * (p - t) + losses * 2 * q * p * (1 - p) * (1 - 2 * t))
    return float((alpha * q * q * losses).mean()), slope


def check(step: str, results: tuple[Any, Any], x: np.ndarray, t: np.ndarray) -> None:
    """Raises RuntimeError if a step's results are not the loss and the gradient."""
    loss, gradient = expected(step, x, t)
    if abs(float(results[0]) - loss) > 1e-3 * loss:
        raise RuntimeError(f"{step} computed the loss {float(results[0])}, not {loss}")
    off = float(np.abs(np.asarray(results[1], dtype=np.float64) * x.size - gradient).max())
    if not off < 1e-5:
        raise RuntimeError(f"{step} computed a gradient that is off by {off}")


# The names of compiled steps; PyTorch's other libraries try what the compiler can do.
OBJECTS = {"torch": "*.main.so", "jax": "*.o"}


def check_instructions(folder: Path, framework: str, instruction_set: str) -> None:
    """Raises RuntimeError if compiled steps below `folder` are of another instruction set."""
    objects = [str(path) for path in folder.rglob(OBJECTS[framework])]
    if not objects:
        raise RuntimeError(f"no compiled code in {folder}")
    code = subprocess.run(
        ["objdump", "--disassemble", *objects], capture_output=True, text=True, check=True
    ).stdout
    wide = any(register in code for register in AVX512)
    if wide != (instruction_set == "avx512"):
        raise RuntimeError(f"code in {folder} is not that of {instruction_set}")


def rate(step: Callable[[], object], elements: int, seconds: float, threads: int) -> float:
    """Returns the elements a second; raises RuntimeError if more threads were busy."""
    step()
    steps, cpu, start = 0, time.process_time(), time.perf_counter()
    while steps < 2 or time.perf_counter() - start < seconds:
        step()
        steps += 1
    wall = time.perf_counter() - start
    busy = (time.process_time() - cpu) / wall
    if busy > threads + 0.1:
        raise RuntimeError(f"{busy:.2f} threads were busy, not {threads}")
    return elements * steps / wall


def maker(arguments: argparse.Namespace) -> Callable[..., Callable[[], tuple[Any, Any]]]:
    """Imports the framework, limited to the threads and the instruction set."""
    if arguments.framework == "jax":
        # XLA makes a thread for each processor that the process may use.
        usable = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, usable[-arguments.threads :])
        import jax_steps

        return jax_steps.make
    import torch_steps

    torch_steps.configure(arguments.instruction_set, arguments.threads, arguments.folder)
    return torch_steps.make


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--framework", choices=("torch", "jax"), required=True)
    parser.add_argument("--instruction_set", default="")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder", type=Path, required=True, help="where compiled code goes")
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    make = maker(arguments)
    asked: tuple[str, int] | None = None
    step: Callable[[], tuple[Any, Any]] = tuple
    for line in sys.stdin:
        question = json.loads(line)
        try:
            if asked != (question["step"], question["elements"]):
                asked, step = None, tuple  # frees the arrays before others are made
                random = np.random.default_rng(1)
                x = random.uniform(-8, 8, question["elements"]).astype(np.float32)
                t = (random.random(question["elements"]) < 0.5).astype(np.float32)
                step = make(question["step"], x, t)
                check(question["step"], step(), x, t)
                if question["step"].startswith("formula") and arguments.instruction_set:
                    check_instructions(
                        arguments.folder, arguments.framework, arguments.instruction_set
                    )
                asked = (question["step"], question["elements"])
            answer: dict[str, object] = {
                "rate": rate(step, question["elements"], question["seconds"], arguments.threads)
            }
        except (RuntimeError, OSError, subprocess.CalledProcessError) as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
