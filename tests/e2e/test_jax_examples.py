"""The JAX example draws its picture, and the README's program trains."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from running_server import BINARIES, running_server

PACKAGE = Path(__file__).parents[2] / "client" / "python"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    for package in ("jax", "matplotlib", "sklearn", "tqdm"):
        pytest.importorskip(package)
    command = [sys.executable, "jax_tumours.py", *arguments]
    return subprocess.run(
        command, cwd=PACKAGE / "examples", capture_output=True, text=True, check=False
    )


def test_the_example_runs_and_draws_its_picture(tmp_path: Path) -> None:
    done = run(f"--server={(BINARIES / 'server' / 'lossd').absolute()}", f"--out={tmp_path}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "training with 426 real tumours" in done.stdout
    assert "of the malignant ones" in done.stdout
    assert (tmp_path / "tumours.png").read_bytes().startswith(b"\x89PNG")


def test_a_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = run("--server=/nowhere/lossd", f"--out={tmp_path}")
    assert done.returncode == 1
    assert done.stderr.strip() == "/nowhere/lossd did not start: No such file or directory"


def test_the_readmes_program_trains_a_model_and_shows_an_error() -> None:
    pytest.importorskip("jax")
    section = (PACKAGE / "README.md").read_text(encoding="utf-8").split("\n## JAX\n")[1]
    section = section.split("\n## ")[0]
    program = "".join(part.split("```")[0] for part in section.split("```python\n")[1:])
    with running_server() as server:
        command = [sys.executable, "-c", program.replace("localhost:50051", server.address)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    value, error = done.stdout.splitlines()
    assert float(value) < 0.3  # log(2) = 0.69 at first
    assert error.startswith("LossdError: INVALID_ARGUMENT: targets[")
    assert "2 is not in [0, 1]" in error
