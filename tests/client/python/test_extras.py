"""A part of lossd whose package is not installed says in one line what to install."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def last_line(program: str, package: str, folder: Path) -> str:
    """Returns the last line of a program's error, without a package, and with those of a folder."""
    before = f"import sys; sys.path.insert(0, {str(folder)!r}); sys.modules[{package!r}] = None; "
    done = subprocess.run(
        [sys.executable, "-c", before + program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("part", "package", "extras"),
    [
        ("lossd.jax", "jax", "jax"),
        ("lossd.keras", "keras", "keras,jax"),
        ("lossd.ray", "ray", "ray"),
        ("lossd.torch", "torch", "torch"),
    ],
)
def test_the_extras_are_named(part: str, package: str, extras: str, tmp_path: Path) -> None:
    assert last_line(f"import {part}", package, tmp_path) == (
        f"ModuleNotFoundError: {part} needs {package}: pip install './client/python[{extras}]'"
    )


@pytest.mark.parametrize("backend", ["jax", "tensorflow", "torch"])
def test_the_backend_that_keras_chose_is_named(backend: str, tmp_path: Path) -> None:
    (tmp_path / "keras.py").write_text(f"import {backend}\n", encoding="utf-8")
    found = last_line("import lossd.keras", backend, tmp_path)
    assert f"Keras chose the backend {backend}, which is not installed" in found
    assert "pip install './client/python[keras,jax]'" in found
    assert "KERAS_BACKEND=jax" in found


def test_another_package_that_keras_misses_is_named_by_python(tmp_path: Path) -> None:
    (tmp_path / "keras.py").write_text("import optree\n", encoding="utf-8")
    found = last_line("import lossd.keras", "optree", tmp_path)
    assert found.startswith("ModuleNotFoundError: import of optree")
