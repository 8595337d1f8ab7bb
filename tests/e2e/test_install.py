"""What is installed: the C++ client as a CMake package, the programs and their completion."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from running_server import BINARIES, running_server

PROGRAM = """\
#include <cstdio>
#include <vector>
#include "client/cpp/client.h"

int main(int, char** argv) {
  const std::vector<float> logits = {0.5F, -1}, targets = {1, 0};
  auto client = lossd::client::Client::Create({.target = argv[1]});
  auto result = (*client)->ComputeLoss(
      {.logits = lossd::client::TensorView::Of<float>(logits),
       .targets = lossd::client::TensorView::Of<float>(targets)});
  std::printf("%.4f\\n", result.ok() ? result->loss : -1.0);
}
"""

PROJECT = """\
cmake_minimum_required(VERSION 3.25)
project(program LANGUAGES CXX)
find_package(lossd 0.1 REQUIRED)
add_executable(program program.cc)
target_link_libraries(program PRIVATE lossd::client)
"""


def cached(variable: str) -> str:
    """The value of a variable of the build that is installed."""
    cache = (BINARIES / "CMakeCache.txt").read_text(encoding="utf-8")
    found = re.search(rf"^{variable}:\w+=(.*)$", cache, re.MULTILINE)
    return found[1] if found else ""


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(name="prefix", scope="module")
def install(tmp_path_factory: pytest.TempPathFactory) -> Path:
    prefix = tmp_path_factory.mktemp("prefix")
    run("cmake", "--install", str(BINARIES), "--prefix", str(prefix))
    return prefix


@pytest.mark.parametrize("program", ["lossd", "lossctl", "lossbench"])
def test_programs_are_installed_with_what_completes_them(prefix: Path, program: str) -> None:
    installed = str(prefix / "bin" / program)
    assert "--" in run(installed, "--help")
    for shell, script in {
        "bash": f"bash-completion/completions/{program}",
        "zsh": f"zsh/site-functions/_{program}",
        "fish": f"fish/vendor_completions.d/{program}.fish",
    }.items():
        asked = ["completion", shell] if program == "lossctl" else [f"--completion={shell}"]
        text = (prefix / "share" / script).read_text(encoding="utf-8")
        assert text == run(installed, *asked)


def test_a_program_is_built_against_the_installed_client(prefix: Path, tmp_path: Path) -> None:
    source, build = tmp_path / "source", tmp_path / "build"
    source.mkdir()
    (source / "program.cc").write_text(PROGRAM, encoding="utf-8")
    (source / "CMakeLists.txt").write_text(PROJECT, encoding="utf-8")
    sanitize = cached("LOSSD_SANITIZE")
    run(
        *("cmake", "-S", str(source), "-B", str(build), "-G", "Ninja"),
        f"-DCMAKE_PREFIX_PATH={prefix}",
        f"-DCMAKE_CXX_COMPILER={cached('CMAKE_CXX_COMPILER')}",
        f"-DCMAKE_CXX_FLAGS={f'-fsanitize={sanitize}' if sanitize else ''}",
    )
    run("cmake", "--build", str(build))
    with running_server() as server:
        assert run(str(build / "program"), server.address) == "0.3937\n"
