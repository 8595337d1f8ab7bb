"""What is installed: the C++ client as a CMake package, the programs and their completion."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from running_server import BINARIES, running_server

README = Path(__file__).resolve().parents[2] / "client/README.md"


def in_readme(language: str) -> str:
    """The one text of this language in the clients' README."""
    text = README.read_text(encoding="utf-8")
    (block,) = re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return str(block)


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
    (source / "main.cc").write_text(in_readme("cpp"), encoding="utf-8")
    (source / "CMakeLists.txt").write_text(in_readme("cmake"), encoding="utf-8")
    sanitize = cached("LOSSD_SANITIZE")
    run(
        *("cmake", "-S", str(source), "-B", str(build), "-G", "Ninja"),
        f"-DCMAKE_PREFIX_PATH={prefix}",
        f"-DCMAKE_CXX_COMPILER={cached('CMAKE_CXX_COMPILER')}",
        f"-DCMAKE_CXX_FLAGS={f'-fsanitize={sanitize}' if sanitize else ''}",
    )
    run("cmake", "--build", str(build))
    with running_server() as server:
        printed = run(str(build / "program"), server.address)
    assert printed == "loss 0.3937\n-0.1888\n0.1345\n"
    for target, code, text in (("127.0.0.1:1", 1, "UNAVAILABLE: "), ("", 2, "INVALID_ARGUMENT: ")):
        done = subprocess.run(
            [build / "program", target], capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode, done.stdout) == (code, "")
        assert done.stderr.startswith(text)
