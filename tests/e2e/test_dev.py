"""./dev help lists the commands, and ./dev test ends with a line of counts."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def count(report: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "tools/count_tests.py"), str(report)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_lists_every_command_and_nothing_else() -> None:
    done = subprocess.run([ROOT / "dev", "help"], capture_output=True, text=True, check=True)
    listed = {line.split()[0] for line in done.stdout.splitlines()[1:]}
    assert listed == {
        "demo",
        "test",
        "bench",
        "soak",
        "proxies",
        "exhaustive",
        "peers",
        "scaling",
        "caffe",
        "fuzz",
        "sanitize",
        "lint",
        "format",
        "docs",
        "image",
        "wheel",
        "gpu",
        "debian",
        "docker",
        "picture",
        "cluster",
        "completion",
    }


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "no command"),
        (["tset"], "tset: no such command"),
        (["gpu", "--dryrun"], "gpu --dryrun: the only argument is --dry-run"),
        (["fuzz", "1m"], "fuzz 1m: the only argument is a number of seconds"),
        (["fuzz", "0"], "fuzz 0: the only argument is a number of seconds"),
        (["docs", "--open"], "docs --open: the arguments are --serve and an address"),
        (
            ["wheel", "--try"],
            "wheel --try: the arguments are --try and releases: bookworm, trixie, noble, jammy",
        ),
        (["docker", "--fast"], "docker --fast: the only argument is --image-is-built"),
        (["cluster", "a", "b"], "cluster a b: the only argument is a file of docker save"),
        (["completion", "sh"], "completion sh: the argument is one shell: bash, zsh or fish"),
        (["completion"], "completion: the argument is one shell: bash, zsh or fish"),
        (["sanitize", "asan", "usan"], "sanitize usan: the sanitizers are asan and tsan"),
    ],
)
def test_an_invalid_command_line_is_refused(arguments: list[str], complaint: str) -> None:
    done = subprocess.run([ROOT / "dev", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("usage:")
    assert done.stderr.splitlines()[-1] == f"./dev: {complaint}"


@pytest.mark.parametrize(
    ("cases", "line", "code"),
    [
        (["run", "run", "notrun"], "2 passed, 0 failed, 1 skipped", 0),
        (["run", "fail", "disabled"], "1 passed, 1 failed, 1 skipped", 1),
        ([], "0 passed, 0 failed, 0 skipped", 1),
    ],
)
def test_the_last_line_counts(tmp_path: Path, cases: list[str], line: str, code: int) -> None:
    report = tmp_path / "junit.xml"
    rows = "".join(f'<testcase name="t" status="{status}"/>' for status in cases)
    report.write_text(f"<testsuite>{rows}</testsuite>", encoding="utf-8")
    done = count(report)
    assert done.stdout.splitlines()[-1] == line
    assert done.returncode == code


def test_reasons_of_skips_are_printed_for_cpp_and_python(tmp_path: Path) -> None:
    report = tmp_path / "junit.xml"
    report.write_text(
        "<testsuite>"
        '<testcase name="Gpu" status="notrun">'
        "<system-out>gpu_test.cc:21: Skipped\nno device</system-out></testcase>"
        '<testcase name="e2e" status="run">'
        "<system-out>.s\nSKIPPED [1] t.py:3: no compose</system-out></testcase>"
        "</testsuite>",
        encoding="utf-8",
    )
    printed = count(report).stdout
    assert "skipped Gpu: no device" in printed
    assert "skipped in e2e: t.py:3: no compose" in printed


def test_no_report_is_an_error(tmp_path: Path) -> None:
    done = count(tmp_path / "junit.xml")
    assert done.returncode == 1
    assert re.search("no test was run", done.stderr)
