"""The GPU's peer in PyTorch, tried on the CPU."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[2] / "bench" / "gpu_torch.py"


def run(*flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(PROGRAM), *flags], capture_output=True, text=True, check=False
    )


def test_the_eager_loss_and_the_compiled_formula_are_measured() -> None:
    pytest.importorskip("torch")
    done = run("--device=cpu", "--elements=5000", "--steps=2")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert "compiled_reason" not in report
    assert report["elements"] == 5000
    assert report["eager"] > 0
    assert report["compiled"] > 0


def test_another_result_is_refused() -> None:
    torch = pytest.importorskip("torch")
    sys.path.insert(0, str(PROGRAM.parent))
    import gpu_torch

    loss, gradient = torch.tensor(0.5), torch.full((100,), 0.003)
    gpu_torch.check(torch, (loss, gradient), (loss, gradient))
    with pytest.raises(RuntimeError, match="another loss"):
        gpu_torch.check(torch, (1.01 * loss, gradient), (loss, gradient))
    with pytest.raises(RuntimeError, match="another gradient"):
        gpu_torch.check(torch, (loss, 1.01 * gradient), (loss, gradient))


def test_a_machine_without_the_peer_is_told_apart() -> None:
    done = run()
    if done.returncode == 0:
        pytest.skip("this machine has a GPU and PyTorch")
    assert done.returncode == 3
    assert "PyTorch" in done.stderr


def test_bad_sizes_are_refused() -> None:
    for flag in ("--elements=0", "--steps=-1"):
        done = run("--device=cpu", flag)
        assert done.returncode == 2
        assert "must be at least 1" in done.stderr
