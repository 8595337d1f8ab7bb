"""Computes losses with a framework in this process, as ./dev bench asks for line by line.

Each line of the input is an object {"step", "elements", "seconds"}, each line of the output an
object {"rate"} in elements a second, or {"error"}. Before a step is timed, its loss and its
gradient are compared with NumPy's in float64.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

# Registers that only AVX-512 has: those of 512 bits, the upper 16 of the others, and masks.
AVX512 = re.compile(r"%zmm|%[xy]mm(?:1[6-9]|2\d|3[01])\b|%k[1-7]\b")
YMM = re.compile(r"%ymm\d+")
AVX2_REGISTERS = 16


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


# The names of a compiled step's objects. PyTorch's other libraries try what the compiler can do,
# and XLA also compiles what makes arrays.
OBJECTS = {"torch": "*.main.so", "jax": "*.jit_loss_and_gradient.*.o"}


class CompiledSteps:
    """Finds the objects below `folder` that were compiled for a step.

    A step that is made again may take what was compiled for it the first time.
    """

    def __init__(self, folder: Path, framework: str) -> None:
        self._folder, self._pattern = folder, OBJECTS[framework]
        self._of: dict[tuple[str, int], set[Path]] = {}

    def objects(self, step: str, elements: int) -> list[Path]:
        """Returns the objects of the step that was compiled last.

        Raises RuntimeError if there are none.
        """
        older = set().union(*self._of.values())
        new = set(self._folder.rglob(self._pattern)) - older
        if new:
            self._of[step, elements] = new
        if (step, elements) not in self._of:
            raise RuntimeError(f"no code was compiled for {step} in {self._folder}")
        return sorted(self._of[step, elements])


def check_instructions(objects: Iterable[Path], instruction_set: str) -> None:
    """Raises RuntimeError if an object of a step was compiled for another instruction set.

    An object that needs few registers looks the same for both sets, so it passes if another
    object of the step shows the set.
    """
    shown = False
    for path in objects:
        code = subprocess.run(
            ["objdump", "--disassemble", str(path)], capture_output=True, text=True, check=True
        ).stdout
        registers, wide = len(set(YMM.findall(code))), AVX512.search(code) is not None
        if instruction_set == "avx512":
            of_other, shows = not wide and registers >= AVX2_REGISTERS, wide
        else:
            of_other, shows = wide, registers > 0
        if of_other:
            raise RuntimeError(f"the code in {path} is not that of {instruction_set}")
        shown = shown or shows
    if not shown:
        raise RuntimeError(f"the step's code is not that of {instruction_set}")


def seconds_in_queue() -> float:
    """Returns how long the threads of this process have waited for a processor so far."""
    waited = 0
    for path in Path("/proc/self/task").glob("*/schedstat"):
        with contextlib.suppress(OSError):  # a thread may end meanwhile
            waited += int(path.read_text().split()[1])
    return waited / 1e9


def rate(step: Callable[[], object], elements: int, seconds: float, threads: int) -> float:
    """Returns the elements a second.

    Raises RuntimeError if more threads were busy than were asked for, or fewer had work. A thread
    that waits for a processor has work.
    """
    step()
    steps, queue, cpu, start = 0, seconds_in_queue(), time.process_time(), time.perf_counter()
    while steps < 2 or time.perf_counter() - start < seconds:
        step()
        steps += 1
    wall = time.perf_counter() - start
    busy = (time.process_time() - cpu) / wall
    at_work = busy + (seconds_in_queue() - queue) / wall
    if busy > threads + 0.1:
        raise RuntimeError(f"{busy:.2f} threads were busy, not {threads}")
    if at_work < threads - 0.5:
        raise RuntimeError(f"{at_work:.2f} threads had work, not {threads}")
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
    compiled = CompiledSteps(arguments.folder, arguments.framework)
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
                    objects = compiled.objects(question["step"], question["elements"])
                    check_instructions(objects, arguments.instruction_set)
                asked = (question["step"], question["elements"])
            answer: dict[str, object] = {
                "rate": rate(step, question["elements"], question["seconds"], arguments.threads)
            }
        except (RuntimeError, OSError, subprocess.CalledProcessError) as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
