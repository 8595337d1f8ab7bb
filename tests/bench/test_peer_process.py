"""A peer is timed only if it computes the right thing, with the right code, on enough threads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

import peer_process  # noqa: E402
from peer_process import (  # noqa: E402
    CompiledSteps,
    check,
    check_instructions,
    rate,
    seconds_in_queue,
)

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


WIDE = ("-march=x86-64-v4", "-mprefer-vector-width=512")


def compile_to(path: Path, *flags: str) -> Path:
    source = path.with_suffix(".c")
    source.write_text("void step(float* x) { for (int i = 0; i < 4096; ++i) x[i] *= 2; }\n")
    command = ["gcc", "-O3", *flags, "-c", str(source), "-o", str(path)]
    subprocess.run(command, check=True)
    return path


def test_code_of_another_instruction_set_is_refused(tmp_path: Path) -> None:
    narrow = compile_to(tmp_path / "narrow.o", "-march=x86-64-v3")
    wide = compile_to(tmp_path / "wide.o", *WIDE)
    none = compile_to(tmp_path / "none.o", "-fno-tree-vectorize")
    check_instructions([narrow, none], "avx2")
    check_instructions([wide, none], "avx512")
    for objects in ([narrow, none], [none], []):
        with pytest.raises(RuntimeError, match="is not that of avx512"):
            check_instructions(objects, "avx512")
    for objects in ([wide], [narrow, wide], [none], []):
        with pytest.raises(RuntimeError, match="is not that of avx2"):
            check_instructions(objects, "avx2")


def test_wide_code_does_not_hide_an_object_for_avx2(tmp_path: Path) -> None:
    wide = compile_to(tmp_path / "wide.o", *WIDE)
    source = tmp_path / "all_registers.s"
    source.write_text("".join(f"vaddps %ymm{n}, %ymm{n}, %ymm{n}\n" for n in range(16)))
    full = tmp_path / "full.o"
    subprocess.run(["gcc", "-c", str(source), "-o", str(full)], check=True)
    check_instructions([full], "avx2")
    with pytest.raises(RuntimeError, match=r"full\.o is not that of avx512"):
        check_instructions([wide, full], "avx512")


@pytest.mark.parametrize(
    ("framework", "first", "second", "other"),
    [
        ("torch", "ab/1.main.so", "ab/2.main.so", "ab/3.so"),
        (
            "jax",
            "module_0001.jit_loss_and_gradient.obj-file.add.o",
            "module_0003.jit_loss_and_gradient.obj-file.add.o",
            "module_0002.jit_broadcast_in_dim.obj-file.o",
        ),
    ],
)
def test_only_the_code_of_the_step_itself_is_checked(
    tmp_path: Path, framework: str, first: str, second: str, other: str
) -> None:
    compiled = CompiledSteps(tmp_path, framework)
    (tmp_path / "ab").mkdir()
    (tmp_path / other).touch()
    with pytest.raises(RuntimeError, match="no code was compiled for formula_focal"):
        compiled.objects("formula_focal", 64)
    (tmp_path / first).touch()
    assert compiled.objects("formula_focal", 64) == [tmp_path / first]
    (tmp_path / second).touch()
    assert compiled.objects("formula_focal", 128) == [tmp_path / second]
    # A framework that kept the code writes no new file.
    assert compiled.objects("formula_focal", 64) == [tmp_path / first]


class Clock:
    """A clock of steps that each take a second, and `busy` seconds of processor time.

    Threads wait `queue` seconds for a processor during a step.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, busy: float, queue: float = 0) -> None:
        self.busy, self.steps = busy, 0
        monkeypatch.setattr(peer_process, "time", self)
        monkeypatch.setattr(peer_process, "seconds_in_queue", lambda: self.steps * queue)

    def step(self) -> None:
        self.steps += 1

    def perf_counter(self) -> float:
        return float(self.steps)

    def process_time(self) -> float:
        return self.steps * self.busy


def test_the_rate_counts_elements_of_whole_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    assert rate(Clock(monkeypatch, busy=1).step, 1000, 3, threads=1) == 1000


def test_more_busy_threads_than_asked_for_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, busy=1.7)
    with pytest.raises(RuntimeError, match=r"1\.70 threads were busy, not 1"):
        rate(clock.step, 1000, 3, threads=1)
    assert rate(clock.step, 1000, 3, threads=2) == 1000


def test_fewer_threads_with_work_than_asked_for_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(RuntimeError, match=r"1\.00 threads had work, not 2"):
        rate(Clock(monkeypatch, busy=1).step, 1000, 3, threads=2)
    with pytest.raises(RuntimeError, match=r"0\.30 threads had work, not 1"):
        rate(Clock(monkeypatch, busy=0.3).step, 1000, 3, threads=1)


def test_a_thread_that_waits_for_a_processor_has_work(monkeypatch: pytest.MonkeyPatch) -> None:
    assert rate(Clock(monkeypatch, busy=0.9, queue=1).step, 1000, 3, threads=2) == 1000


def test_threads_that_wait_for_a_processor_are_seen() -> None:
    assert seconds_in_queue() >= 0
