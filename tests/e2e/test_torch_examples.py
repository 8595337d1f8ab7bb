"""The PyTorch examples run, reach their accuracy and draw their pictures."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from running_server import BINARIES

EXAMPLES = Path(__file__).parents[2] / "client" / "python" / "examples"


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
    for package in ("torch", "matplotlib", "sklearn", "tqdm"):
        pytest.importorskip(package)
    server = BINARIES / "server" / "lossd"
    command = [sys.executable, program, f"--server={server.absolute()}", f"--out={tmp_path}"]
    done = subprocess.run(command, cwd=EXAMPLES, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert result in done.stdout
    assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")
