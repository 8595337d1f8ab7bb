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
from keras_process import run
from running_server import running_server


@pytest.mark.parametrize("backend", ["jax", "tensorflow", "torch", "numpy"])
def test_the_losses_with_a_backend(backend: str, tmp_path: Path) -> None:
    run("all", backend, tmp_path)


@pytest.mark.parametrize("backend", ["jax", "tensorflow", "torch"])
def test_losses_of_float8_logits_are_float32(backend: str, tmp_path: Path) -> None:
    run("float8", backend, tmp_path)


@pytest.mark.parametrize("backend", ["jax", "tensorflow", "torch"])
def test_the_losses_of_a_server_share_a_connection(backend: str, tmp_path: Path) -> None:
    run("connections", backend, tmp_path)


@pytest.mark.parametrize("backend", ["jax", "tensorflow", "torch"])
def test_a_backend_that_is_not_installed_is_named(backend: str, tmp_path: Path) -> None:
    if importlib.util.find_spec("keras") is None:
        pytest.skip("keras is not installed")
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.modules[{backend!r}] = None; import lossd.keras"],
        env=os.environ | {"KERAS_BACKEND": backend, "KERAS_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"lossd.keras: Keras chose the backend {backend}," in done.stderr.splitlines()[-1]


def test_jax_trains_on_several_devices(tmp_path: Path) -> None:
    flags = "--xla_force_host_platform_device_count=4"
    run("distributed", "jax", tmp_path, XLA_FLAGS=flags)


def test_the_readmes_program_trains_a_model(tmp_path: Path) -> None:
    for package in ("keras", "jax"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    readme = Path(__file__).parents[2] / "client" / "python" / "README.md"
    section = readme.read_text(encoding="utf-8").split("\n## Keras\n")[1]
    program = section.split("```python\n")[1].split("```")[0]
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    with running_server() as server:
        done = subprocess.run(
            [sys.executable, "-c", program.replace("localhost:50051", server.address)],
            env=environment | {"KERAS_HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 0.3  # log(2) = 0.69 without training
