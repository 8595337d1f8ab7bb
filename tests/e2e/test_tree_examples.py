"""The XGBoost example runs, ends where XGBoost's own objective ends, and draws its picture."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest
from running_server import BINARIES

EXAMPLES = Path(__file__).parents[2] / "client" / "python" / "examples"


def test_the_example_runs_and_draws_both_curves(tmp_path: Path) -> None:
    for package in ("xgboost", "matplotlib", "sklearn", "tqdm"):
        pytest.importorskip(package)
    server = BINARIES / "server" / "lossd"
    command = [sys.executable, "xgboost_objective.py", "--rounds=40"]
    command += [f"--server={server.absolute()}", f"--out={tmp_path}"]
    done = subprocess.run(command, cwd=EXAMPLES, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "lossd            held-out loss" in done.stdout
    assert (tmp_path / "xgboost.png").read_bytes().startswith(b"\x89PNG")
    names, *losses = csv.reader((tmp_path / "xgboost.csv").open())
    assert names == ["step", "binary:logistic", "lossd"]
    assert len(losses) == 40
    for _, own, ours in losses:
        assert float(ours) == pytest.approx(float(own), abs=1e-5)
    assert float(losses[-1][2]) < float(losses[0][2]) / 4
