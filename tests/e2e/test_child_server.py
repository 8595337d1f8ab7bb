"""A server as a child of a Python process, which ends with it."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import types
from pathlib import Path

import lossd
import numpy as np
import pytest
from lossd import server_process
from lossd.server_process import NotStarted, ServerProcess, find_program
from running_server import BINARIES

PROGRAM = str(BINARIES / "server/lossd")
WITH_PARENT = Path(server_process.__file__).with_name("with_parent.py")
PARENT = f"""
import sys
from lossd.server_process import ServerProcess
server = ServerProcess({PROGRAM!r}, "127.0.0.1", 0, [])
print(server.pid, flush=True)
sys.stdin.read()
"""


def program(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_server_starts_serves_and_ends(host: str) -> None:
    server = ServerProcess(PROGRAM, host, 0, ["--max_inflight_requests=7"])
    with lossd.Client(server.address) as client:
        assert client.compute_loss(np.zeros(2), np.ones(2)).loss == pytest.approx(np.log(2))
    assert not server.ended(0)
    server.stop()
    assert server.ended(60)
    assert server.code() == 0
    server.stop()  # has no effect


def test_a_server_that_is_killed_comes_back_at_its_port() -> None:
    first = ServerProcess(PROGRAM, "127.0.0.1", 0, [])
    os.kill(first.pid, signal.SIGKILL)
    assert first.ended(60)
    assert first.code() == -signal.SIGKILL
    second = ServerProcess(PROGRAM, "127.0.0.1", int(first.address.rpartition(":")[2]), [])
    assert second.address == first.address
    second.stop()
    assert second.code() == 0


def test_what_a_server_says_about_its_flags_is_the_error() -> None:
    with pytest.raises(NotStarted, match=r"server/lossd ended with \d+ before .*cpu_threads"):
        ServerProcess(PROGRAM, "127.0.0.1", 0, ["--cpu_threads=-1"])


def test_what_is_no_server_is_named(tmp_path: Path) -> None:
    other = program(tmp_path / "other", "echo hello; exec sleep 600")
    with pytest.raises(NotStarted, match="/other ended with -9 before .*: it said nothing"):
        ServerProcess(other, "127.0.0.1", 0, [])
    broken = tmp_path / "broken"
    broken.write_bytes(b"\x7fELF")
    broken.chmod(0o755)
    with pytest.raises(NotStarted, match="/broken: Exec format error"):
        ServerProcess(str(broken), "127.0.0.1", 0, [])


def test_a_server_ends_with_its_parent() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    server = os.pidfd_open(int(parent.stdout.readline()))
    ended = select.poll()
    ended.register(server)
    assert ended.poll(0) == []
    parent.kill()
    assert ended.poll(60_000) != []
    os.close(server)
    parent.communicate()


def test_a_server_is_not_started_by_a_parent_that_has_ended() -> None:
    done = subprocess.run(
        [sys.executable, "-I", WITH_PARENT, str(os.getpid() + 1), PROGRAM],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, "the parent has ended\n")


def test_the_program_is_the_given_one_or_the_packages_or_that_on_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lossd_server", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotStarted, match="pip install lossd-server, put the program on PATH"):
        find_program()
    on_path = program(tmp_path / "lossd", "exit 1")
    assert find_program() == on_path
    package = types.ModuleType("lossd_server")
    package.path = lambda name: Path("/package") / name  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lossd_server", package)
    assert find_program() == "/package/lossd"
    assert find_program(PROGRAM) == PROGRAM
    for bad in (str(tmp_path), str(tmp_path / "nothing"), __file__):
        with pytest.raises(NotStarted, match=f"^binary: {re.escape(repr(bad))} is no program"):
            find_program(bad)
