"""The programs are built with what makes defects harder to use (D99)."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from running_server import BINARIES

PROGRAMS = [
    program
    for program in ("server/lossd", "client/lossctl", "client/lossbench")
    if (BINARIES / program).exists()
]
pytestmark = pytest.mark.parametrize("program", PROGRAMS)


def readelf(*arguments: str) -> str:
    done = subprocess.run(["readelf", "-W", *arguments], capture_output=True, text=True, check=True)
    return done.stdout


def path(program: str) -> str:
    return str(BINARIES / program)


def is_sanitized(program: str) -> bool:
    return bool(re.search(r"__[at]san_init", readelf("--dyn-syms", path(program))))


def test_it_lies_at_an_address_of_the_loaders_choice(program: str) -> None:
    assert re.search(r"Type: +DYN", readelf("--file-header", path(program)))
    dynamic = readelf("--dynamic", path(program))
    assert re.search(r"\(FLAGS_1\) .*\bPIE\b", dynamic)
    assert "TEXTREL" not in dynamic


def test_what_the_loader_fills_in_is_read_only(program: str) -> None:
    assert "GNU_RELRO" in readelf("--program-headers", path(program))
    assert re.search(r"\(FLAGS_1\) .*\bNOW\b", readelf("--dynamic", path(program)))


def test_no_page_is_written_and_run(program: str) -> None:
    segments = re.findall(
        r"^ +(LOAD|GNU_STACK) .* ([R ][W ][E ]) +0x",
        readelf("--program-headers", path(program)),
        re.M,
    )
    assert {kind for kind, _ in segments} == {"LOAD", "GNU_STACK"}
    for kind, flags in segments:
        assert not ("W" in flags and "E" in flags), (kind, flags)


def test_functions_with_arrays_have_canaries(program: str) -> None:
    assert "__stack_chk_fail" in readelf("--dyn-syms", path(program))


def test_the_c_library_checks_sizes_of_buffers(program: str) -> None:
    if is_sanitized(program):
        pytest.skip("the sanitizers check more")
    found = re.findall(r"\b(__\w+_chk)@", readelf("--dyn-syms", path(program)))
    assert set(found) - {"__stack_chk_fail"}


def test_functions_may_be_entered_where_they_begin_only(program: str) -> None:
    if "X86-64" not in readelf("--file-header", path(program)):
        pytest.skip("processors of another kind")
    code = subprocess.run(
        ["objdump", "-d", "--no-show-raw-insn", "--disassemble=main", path(program)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    first = code.split("<main>:\n")[1].splitlines()[0]
    assert first.split()[-1] == "endbr64"


def test_it_looks_for_libraries_where_the_system_has_them(program: str) -> None:
    dynamic = readelf("--dynamic", path(program))
    if "libcudart" in dynamic:
        pytest.skip("the bundle for GPUs brings its libraries")
    assert not re.search(r"\((RPATH|RUNPATH)\)", dynamic)


def test_the_list_of_programs_is_not_empty(program: str) -> None:
    assert Path(path(program)).stat().st_size > 0
    assert "server/lossd" in PROGRAMS
