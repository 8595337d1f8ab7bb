"""The PyTorch examples run, reach their accuracy and draw their pictures."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from running_server import BINARIES

EXAMPLES = Path(__file__).parents[2] / "client" / "python" / "examples"


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    for package in ("torch", "matplotlib", "sklearn", "tqdm"):
        pytest.importorskip(package)
    command = [sys.executable, program, *arguments]
    return subprocess.run(command, cwd=EXAMPLES, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("program", "picture", "result"),
    [
        ("torch_attributes.py", "attributes.png", "closed loop"),
        ("torch_siglip.py", "siglip.png", "nearest to the name"),
    ],
)
def test_an_example_runs_and_draws_its_picture(
    tmp_path: Path, program: str, picture: str, result: str
) -> None:
    server = BINARIES / "server" / "lossd"
    done = run(program, f"--server={server.absolute()}", f"--out={tmp_path}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("training with ")
    assert result in done.stdout
    assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("program", ["torch_attributes.py", "torch_siglip.py"])
def test_a_server_that_is_not_there_is_named(tmp_path: Path, program: str) -> None:
    done = run(program, "--server=/nowhere/lossd", f"--out={tmp_path}")
    assert done.returncode == 1
    assert done.stderr.strip() == "/nowhere/lossd did not start: No such file or directory"
