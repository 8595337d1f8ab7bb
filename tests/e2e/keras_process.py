"""Runs a check of keras_losses.py in a process of its own, because a process has one backend."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from running_server import running_server

PROGRAM = Path(__file__).with_name("keras_losses.py")


def run(check: str, backend: str, folder: Path, seconds: int = 90, **environment: str) -> None:
    """Runs a check, which has so many seconds. Skips it without Keras or the backend."""
    for package in ("keras", backend):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    environment |= {"KERAS_BACKEND": backend, "KERAS_HOME": str(folder)}
    with running_server() as server:
        done = subprocess.run(
            [sys.executable, str(PROGRAM), check, server.address, str(folder), str(seconds)],
            env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"} | environment,
            capture_output=True,
            text=True,
            timeout=seconds + 30,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("all right\n")
