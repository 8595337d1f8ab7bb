"""A peer is timed only if it computes the right thing, with the right code, on enough threads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

import peer_process  # noqa: E402
from peer_process import check, check_instructions, rate  # noqa: E402

STEPS = ("formula_cross_entropy", "formula_focal", "eager_cross_entropy", "eager_focal")


def sample() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    x = random.uniform(-8, 8, 1000).astype(np.float32)
    return x, (random.random(1000) < 0.5).astype(np.float32)


def losses(step: str, x: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Computes the losses by another form than the one under test."""
    p = 1 / (1 + np.exp(-np.where(t > 0, x, -x)))
    if step.endswith("cross_entropy"):
        return -np.log(p)
    return -np.where(t > 0, 0.25, 0.75) * (1 - p) ** 2 * np.log(p)


def results(step: str, x: np.ndarray, t: np.ndarray) -> tuple[float, np.ndarray]:
    """Computes the mean loss, and its gradient by central differences."""
    x = x.astype(np.float64)
    slope = (losses(step, x + 1e-5, t) - losses(step, x - 1e-5, t)) / 2e-5
    return float(losses(step, x, t).mean()), slope / x.size


@pytest.mark.parametrize("step", STEPS)
def test_the_loss_and_its_gradient_pass(step: str) -> None:
    x, t = sample()
    check(step, results(step, x, t), x, t)


@pytest.mark.parametrize("step", STEPS)
def test_another_loss_or_gradient_is_refused(step: str) -> None:
    x, t = sample()
    loss, gradient = results(step, x, t)
    with pytest.raises(RuntimeError, match="computed the loss"):
        check(step, (1.01 * loss, gradient), x, t)
    gradient[500] += 1e-4 / x.size
    with pytest.raises(RuntimeError, match="a gradient that is off by"):
        check(step, (loss, gradient), x, t)
    gradient[500] = np.nan
    with pytest.raises(RuntimeError, match="a gradient that is off by"):
        check(step, (loss, gradient), x, t)


def compile_to(folder: Path, *flags: str) -> None:
    source = folder / "step.c"
    source.write_text("void step(float* x) { for (int i = 0; i < 4096; ++i) x[i] *= 2; }\n")
    command = ["gcc", "-O3", *flags, "-c", str(source), "-o", str(folder / "step.o")]
    subprocess.run(command, check=True)


def test_code_of_another_instruction_set_is_refused(tmp_path: Path) -> None:
    compile_to(tmp_path, "-march=x86-64-v3")
    check_instructions(tmp_path, "jax", "avx2")
    with pytest.raises(RuntimeError, match="is not that of avx512"):
        check_instructions(tmp_path, "jax", "avx512")
    compile_to(tmp_path, "-march=x86-64-v4", "-mprefer-vector-width=512")
    check_instructions(tmp_path, "jax", "avx512")
    with pytest.raises(RuntimeError, match="is not that of avx2"):
        check_instructions(tmp_path, "jax", "avx2")


def test_no_code_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no compiled code"):
        check_instructions(tmp_path, "torch", "avx2")


class Clock:
    """A clock of steps that each take a second, and `busy` seconds of processor time."""

    def __init__(self, busy: float) -> None:
        self.busy, self.steps = busy, 0

    def step(self) -> None:
        self.steps += 1

    def perf_counter(self) -> float:
        return float(self.steps)

    def process_time(self) -> float:
        return self.steps * self.busy


def test_the_rate_counts_elements_of_whole_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(busy=1)
    monkeypatch.setattr(peer_process, "time", clock)
    assert rate(clock.step, 1000, 3, threads=1) == 1000


def test_more_busy_threads_than_asked_for_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(busy=1.7)
    monkeypatch.setattr(peer_process, "time", clock)
    with pytest.raises(RuntimeError, match=r"1\.70 threads were busy, not 1"):
        rate(clock.step, 1000, 3, threads=1)
    assert rate(clock.step, 1000, 3, threads=2) == 1000
