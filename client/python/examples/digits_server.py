"""Runs a lossd server for the duration of a `with` statement."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

READY = re.compile(r"lossd listening on (\S+) metrics on (\S+)")


@dataclass(frozen=True)
class Server:
    address: str
    metrics_url: str


def wait_until_ready(
    program: Path, process: subprocess.Popen[str], seconds: float
) -> re.Match[str]:
    """Returns the match of the line with the server's addresses.

    Raises SystemExit, with the reason, if the program does not print it in time.
    """
    assert process.stdout is not None
    # readline() has no timeout, but it returns when the process is killed.
    too_late = threading.Event()

    def give_up() -> None:
        too_late.set()
        process.kill()

    timer = threading.Timer(seconds, give_up)
    timer.start()
    line = process.stdout.readline()
    timer.cancel()
    ready = READY.match(line)
    if ready is not None:
        return ready
    if too_late.is_set():
        raise SystemExit(f"{program} did not start: no line within {seconds} s")
    if line:
        raise SystemExit(f"{program} did not start: its first line is {line.rstrip()!r}")
    raise SystemExit(f"{program} did not start: exit code {process.wait()}")


@contextlib.contextmanager
def lossd_server(
    program: Path, start_seconds: float = 60, drain_seconds: float = 30
) -> Iterator[Server]:
    """Starts `program` on free ports, and drains it with SIGTERM at the end.

    Raises SystemExit, with the reason, if it does not start or does not exit with code 0. The
    program has ended in every case.
    """
    try:
        process = subprocess.Popen(
            [program, "--listen=127.0.0.1:0", "--metrics_listen=127.0.0.1:0"],
            stdout=subprocess.PIPE,
            text=True,
        )
    except OSError as error:
        raise SystemExit(f"{program} did not start: {error.strerror}") from error
    try:
        ready = wait_until_ready(program, process, start_seconds)
        print(ready[0])
        yield Server(ready[1], f"http://{ready[2]}/metrics")
        process.send_signal(signal.SIGTERM)
        code = process.wait(timeout=drain_seconds)
    except subprocess.TimeoutExpired as error:
        raise SystemExit(
            f"lossd did not drain within {drain_seconds} s of SIGTERM, and was killed"
        ) from error
    finally:
        process.kill()  # has no effect if the process has ended
        process.wait()
    if code != 0:
        raise SystemExit(f"lossd did not drain: exit code {code}")
