"""Losses of lossd in Keras 3, one process for each backend, beside Keras's own losses.

A backend is skipped where Keras or its framework is not installed.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from running_server import running_server

PROGRAM = Path(__file__).with_name("keras_losses.py")
FRAMEWORKS = {"jax": "jax", "torch": "torch", "numpy": "numpy"}


@pytest.mark.parametrize("backend", FRAMEWORKS)
def test_the_losses_with_a_backend(backend: str, tmp_path: Path) -> None:
    for package in ("keras", FRAMEWORKS[backend]):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    with running_server() as server:
        environment = os.environ | {"KERAS_BACKEND": backend, "KERAS_HOME": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, str(PROGRAM), server.address, str(tmp_path)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("all right\n")
