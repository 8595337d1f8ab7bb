"""Every fenced line of the README runs as it stands, against a server on free ports.

The Python examples are run by test_python_client.py and test_shared_memory.py.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from running_server import BINARIES, RunningServer, running_server

ROOT = Path(__file__).resolve().parents[2]
GRPCURL = os.environ.get("GRPCURL", str(ROOT / "build/bin/grpcurl"))
SERVERS = ("build/release/server/lossd", "build/cuda/server/lossd --backend=cuda")


def fenced_lines() -> list[str]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = [part[1:] for part in text.split("```")[1::2] if part.startswith("\n")]
    return [line for block in blocks for line in block.splitlines() if line]


LINES = fenced_lines()


@pytest.fixture(scope="module", name="server")
def start_server() -> Iterator[RunningServer]:
    with running_server() as server:
        # The README's metrics line prints nothing before the first answered request.
        subprocess.run(as_here(LINES_OF_CLIENTS[0], server), shell=True, check=True)
        yield server


def as_here(line: str, server: RunningServer) -> str:
    target = f"--target={server.address}"
    for there, here in (
        ("build/bin/grpcurl", shlex.quote(GRPCURL)),
        ("build/release/client/lossctl", f"{BINARIES}/client/lossctl {target}"),
        ("localhost:50051", server.address),
        ("localhost:9464", server.metrics),
    ):
        line = line.replace(there, here)
    return line


LINES_OF_DEV = [line for line in LINES if line.startswith("./dev ")]
# tools/packages/trial.py runs these in clean roots, once the packages are built.
LINES_OF_PACKAGES = [line for line in LINES if "build/wheel/" in line]
LINES_OF_CLIENTS = [
    line for line in LINES if line not in (*LINES_OF_DEV, *LINES_OF_PACKAGES, *SERVERS)
]


def test_there_are_lines_of_each_kind() -> None:
    assert SERVERS[0] in LINES
    assert {"./dev demo", "./dev test"} <= set(LINES_OF_DEV)
    assert len(LINES_OF_CLIENTS) >= 5


@pytest.mark.parametrize("line", LINES_OF_DEV)
def test_dev_knows_the_command(line: str) -> None:
    usage = subprocess.run([ROOT / "dev", "help"], capture_output=True, text=True, check=True)
    assert re.search(rf"^  {line.split()[1]}\b", usage.stdout, re.MULTILINE)


@pytest.mark.parametrize("line", LINES_OF_CLIENTS)
def test_a_line_prints_something_and_ends_well(server: RunningServer, line: str) -> None:
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", as_here(line, server)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
