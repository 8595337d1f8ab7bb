"""A lossd for the length of a `with` statement."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

READY = re.compile(r"lossd listening on (\S+) metrics on (\S+)")


@dataclass(frozen=True)
class Server:
    address: str
    metrics_url: str


@contextlib.contextmanager
def lossd_server(program: Path) -> Iterator[Server]:
    """Starts `program` on free ports; at the end SIGTERM must drain it to exit code 0."""
    process = subprocess.Popen(
        [program, "--listen=127.0.0.1:0", "--metrics_listen=127.0.0.1:0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        ready = READY.match(process.stdout.readline())
        if ready is None:
            raise SystemExit(f"{program} did not start: exit code {process.wait(timeout=10)}")
        print(ready[0])
        yield Server(ready[1], f"http://{ready[2]}/metrics")
        process.send_signal(signal.SIGTERM)
        code = process.wait(timeout=30)
    finally:
        process.kill()  # nothing, where it has ended
        process.wait()
    if code != 0:
        raise SystemExit(f"lossd did not drain: exit code {code}")
