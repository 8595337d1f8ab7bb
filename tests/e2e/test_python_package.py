"""The Python package as a source distribution and as the wheel that is built from it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import version
from pathlib import Path

import lossd
import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "client" / "python"


@pytest.fixture(scope="module", name="sdist")
def make_sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    command = [sys.executable, "setup.py", "-q", "sdist", "-d", str(folder)]
    subprocess.run(command, cwd=PACKAGE, check=True)
    return next(folder.iterdir())


@pytest.fixture(scope="module", name="wheel")
def make_wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # The generator is that of the tests, so that nothing has to be fetched.
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir"]
    command = [sys.executable, "-m", "pip", "wheel", *options, str(folder), str(sdist)]
    subprocess.run(command, check=True)
    return next(folder.glob("*.whl"))


def test_a_source_distribution_has_all_that_a_build_needs(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    protos = {f"proto/{path}" for path in ("lossd/v1/tensor.proto", "lossd/v1/loss_service.proto")}
    assert protos | {"LICENSE", "README.md", "setup.py", "lossd/py.typed"} <= names


def test_a_wheel_says_what_it_is_and_needs(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read(f"lossd-{lossd.__version__}.dist-info/METADATA").decode()
        generated = archive.read("lossd/v1/tensor_pb2.py").decode()
    assert {"lossd/py.typed", "lossd/v1/tensor_pb2.pyi", "lossd/v1/__init__.py"} <= set(names)
    assert [name for name in names if name.endswith("LICENSE")]
    assert "License-Expression: Apache-2.0" in metadata
    assert "Classifier: Typing :: Typed" in metadata
    assert "lossd.Client(" in metadata  # the README
    # The messages refuse an older protobuf than the one that they name.
    named = re.search(r"Domain\.PUBLIC,\s*(\d+),\s*(\d+),\s*(\d+)", generated)
    needed = re.search(r"Requires-Dist: protobuf<(\d+),>=([\d.]+)", metadata)
    assert named is not None
    assert needed is not None
    assert needed[2] == ".".join(named.groups())
    assert int(needed[1]) == int(named[1]) + 2
    assert version("lossd") == lossd.__version__


def test_a_wheel_is_imported_without_anything_else_of_the_tree(wheel: Path, tmp_path: Path) -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(wheel)!r}); import lossd; "
        "print(lossd.__file__, lossd.ones([0], []).row_splits)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(str(wheel))


def test_an_import_brings_nothing_that_is_slow(tmp_path: Path) -> None:
    """An import takes as long as those of NumPy, gRPC and protobuf."""
    for slow in (
        "torch",
        "tensorflow",
        "jax",
        "scipy",
        "pyarrow",
        "ray",
        "cupy",
        "numba",
        "pandas",
    ):
        (tmp_path / f"{slow}.py").write_text(f"raise SystemExit('lossd has imported {slow}')")
    program = (
        "import sys, grpc, numpy.typing, google.protobuf.duration_pb2; before = set(sys.modules);"
        "import lossd; print(*(set(sys.modules) - before))"
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    packages = {name.partition(".")[0] for name in done.stdout.split()}
    light = {"calendar", "copy", "dataclasses", "difflib", "encodings", "ipaddress", "json", "mmap"}
    light |= {"random", "bisect", "_bisect", "_json", "_random", "_sha2", "_sha512"}
    assert packages - light <= {"lossd", "google", "ml_dtypes"}
