"""The wheel lossd-server: what is in it, and how its commands start the programs.

The wheel of these tests has short scripts for programs, because linking the real ones takes
minutes. `./dev wheel --try` uses the real one in clean systems. If build/wheel has one, it is
looked at too.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "deploy/wheel"
PROGRAMS = ("lossd", "lossctl", "lossbench")
BUILT = sorted((ROOT / "build/wheel").glob("*.whl"))


@pytest.fixture(scope="module", name="made")
def make_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    package, out = tmp_path_factory.mktemp("package"), tmp_path_factory.mktemp("out")
    shutil.copytree(SOURCE, package, dirs_exist_ok=True)
    shutil.copy(ROOT / "LICENSE", package)
    for folder in ("licenses", "sboms", "lossd_server/bin"):
        (package / folder).mkdir()
    (package / "licenses/grpc.copyright").write_text("licences of gRPC")
    (package / "sboms/lossd.cdx.json").write_text("{}")
    for name in PROGRAMS:
        program = package / "lossd_server/bin" / name
        # It prints its name, its arguments and the signals that it ignores.
        program.write_text('#!/bin/sh\necho "$(basename "$0") $*"\ngrep SigIgn /proc/self/status\n')
        program.chmod(0o755)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(command, cwd=package, check=True, capture_output=True)
    [wheel] = out.glob("*.whl")
    return wheel


@pytest.fixture(scope="module", name="installed")
def install(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the folder into which pip installed the wheel."""
    target = tmp_path_factory.mktemp("installed")
    options = ["--quiet", "--no-deps", "--no-index", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(target), str(made)]
    subprocess.run(command, check=True)
    return target


def python(installed: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_versions_of_the_project_and_of_the_package_are_one() -> None:
    project = re.search(r"project\(lossd VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text())
    package = re.search(r'__version__ = "(.+)"', (SOURCE / "lossd_server/__init__.py").read_text())
    assert project is not None
    assert package is not None
    assert package[1] == project[1]


def check_contents(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        [info] = {name.split("/")[0] for name in archive.namelist() if ".dist-info/" in name}
        names = set(archive.namelist())
        tags = archive.read(f"{info}/WHEEL").decode().splitlines()
        metadata = archive.read(f"{info}/METADATA").decode()
        commands = archive.read(f"{info}/entry_points.txt").decode()
    assert wheel.name.endswith("-py3-none-manylinux_2_36_x86_64.whl")
    assert {"Tag: py3-none-manylinux_2_36_x86_64", "Root-Is-Purelib: false"} <= set(tags)
    assert {f"lossd_server/bin/{name}" for name in PROGRAMS} <= names
    assert f"{info}/sboms/lossd.cdx.json" in names
    assert {f"{info}/licenses/LICENSE", f"{info}/licenses/licenses/grpc.copyright"} <= names
    assert "Requires-Dist" not in metadata
    assert re.search("^License-Expression: Apache-2.0 AND .*LGPL-2.1-or-later", metadata, re.M)
    for name in PROGRAMS:
        assert f"{name} = lossd_server.commands:{name}" in commands


def test_a_wheel_says_what_it_is_and_has_all_parts(made: Path) -> None:
    check_contents(made)


@pytest.mark.skipif(not BUILT, reason="./dev wheel has not been run")
def test_the_wheel_that_was_built_says_what_it_is_and_has_all_parts() -> None:
    check_contents(BUILT[-1])
    with zipfile.ZipFile(BUILT[-1]) as archive:
        [listed] = [name for name in archive.namelist() if name.endswith("sboms/lossd.cdx.json")]
        components = json.loads(archive.read(listed))["components"]
    inside = {component["name"] for component in components}
    assert {"libgrpc-dev", "libssl-dev", "libstdc++-12-dev", "curl", "libmicrohttpd"} <= inside


def test_programs_may_be_run(installed: Path) -> None:
    for name in PROGRAMS:
        told = python(installed, "-c", f"import lossd_server; print(lossd_server.path('{name}'))")
        program = Path(told.stdout.strip())
        assert program.parent == installed / "lossd_server/bin"
        assert program.stat().st_mode & stat.S_IXUSR


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_command_becomes_its_program(installed: Path, name: str) -> None:
    done = python(
        installed, "-c", f"from lossd_server.commands import {name} as run; run()", "--a", "b c"
    )
    first, ignored = done.stdout.splitlines()
    assert first == f"{name} --a b c"
    # Python ignores SIGPIPE and SIGXFSZ, which the program must not inherit.
    assert int(ignored.split()[1], 16) == 0


def test_the_module_is_the_server(installed: Path) -> None:
    assert python(installed, "-m", "lossd_server", "--help").stdout.startswith("lossd --help\n")


def test_an_unknown_program_is_a_value_error(installed: Path) -> None:
    done = python(installed, "-c", "import lossd_server; lossd_server.path('lost')")
    assert done.stderr.splitlines()[-1] == (
        "ValueError: program='lost': must be one of lossd, lossctl, lossbench"
    )


def test_a_program_that_cannot_start_is_named(made: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(made) as archive:
        archive.extractall(tmp_path)  # without the permissions
    done = python(tmp_path, "-m", "lossd_server")
    program = tmp_path / "lossd_server/bin/lossd"
    assert done.returncode == 126
    assert done.stderr == f"lossd: {program} cannot be started: Permission denied\n"
