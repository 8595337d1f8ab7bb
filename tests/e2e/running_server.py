"""Runs a real lossd on free ports for tests."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import lossd
import numpy as np

BINARIES = Path(os.environ.get("LOSSD_BINARY_DIR", "build/dev"))
READY = re.compile(r"lossd listening on (\S+) metrics on (\S+)")


@dataclass(frozen=True)
class RunningServer:
    address: str  # HOST:PORT of the service
    metrics: str  # HOST:PORT of /metrics
    process: subprocess.Popen[str]


def lossbench(server: RunningServer, *flags: str) -> dict[str, Any]:
    """Returns the report of a run of lossbench in which no call failed."""
    done = subprocess.run(
        [str(BINARIES / "client" / "lossbench"), f"--target={server.address}", "--json", *flags],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["errors"] == {}
    return report


@contextlib.contextmanager
def running_server(
    *flags: str,
    program: str = "server/lossd",
    under: Sequence[str] = (),
    log: IO[str] | None = None,
) -> Iterator[RunningServer]:
    """Starts lossd, waits for its ready line, and stops it with SIGTERM.

    Expects exit code 0, unless the test itself has ended the server. `program` may be another
    program that takes lossd's flags and prints its ready line. `under` is a command that runs
    the program after it, such as taskset; `log` takes the standard error.
    """
    process = subprocess.Popen(
        [
            *under,
            str(BINARIES / program),
            "--listen=127.0.0.1:0",
            "--metrics_listen=127.0.0.1:0",
            *flags,
        ],
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
    )
    assert process.stdout is not None
    try:
        ready = READY.match(process.stdout.readline())
        assert ready is not None, f"no ready line; exit code {process.poll()}"
        yield RunningServer(ready[1], ready[2], process)
    finally:
        ended_by_test = process.poll() is not None
        process.send_signal(signal.SIGTERM)
        code = process.wait(timeout=30)
        process.stdout.close()
    assert ended_by_test or code == 0, f"lossd ended with {code}"


@contextlib.contextmanager
def stopped(server: RunningServer) -> Iterator[None]:
    """Has the server's process stand still until the block ends."""
    server.process.send_signal(signal.SIGSTOP)
    # The signal is on its way until the process says that it has stopped.
    os.waitid(os.P_PID, server.process.pid, os.WSTOPPED | os.WNOWAIT)
    try:
        yield
    finally:
        server.process.send_signal(signal.SIGCONT)


def eventually(client: lossd.Client, condition: Callable[[], bool]) -> bool:
    """Waits for an effect that no reply reports; returns False after 5,000 calls of `client`."""
    for _ in range(5000):
        if condition():
            return True
        client.compute_loss(np.zeros(1), np.zeros(1))
    return False
