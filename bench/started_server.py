"""Observes and stops a server that the bench has started."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import IO


class PeerMissing(RuntimeError):
    """This machine does not have a peer; the bench leaves out what is measured against it."""


@dataclass(frozen=True)
class Server:
    """A server that listens; `target` is its address for lossbench."""

    target: str
    pid: int
    metrics: str = ""  # HOST:PORT of /metrics; empty without one

    def resident_bytes(self) -> int:
        """Returns the resident memory of the process."""
        return self._status_bytes("VmRSS")

    def peak_resident_bytes(self) -> int:
        """Returns the largest resident memory that the process ever had."""
        return self._status_bytes("VmHWM")

    def _status_bytes(self, name: str) -> int:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError(f"process {self.pid} has no {name}")

    def cpu_seconds(self) -> float:
        """Returns the user and kernel time of all threads so far, in steps of a clock tick."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Transcript:
    """Copies a program's output to a file, and waits until a line contains some words.

    It serves programs that report only in their output that they have started.
    """

    def __init__(self, output: IO[bytes], log: Path, words: str) -> None:
        self._output, self._log, self._words = output, log, words.encode()
        self._found = False
        self._decided = threading.Event()  # the words were found or the output ended
        # The thread reads to the end, because a full pipe would stop the program.
        self._thread = threading.Thread(target=self._copy, daemon=True)
        self._thread.start()

    def wait_for_words(self, seconds: float) -> bool:
        """Returns True once the words were printed, False if the output or the time ended."""
        self._decided.wait(seconds)
        return self._found

    def wait_for_end(self, seconds: float) -> None:
        """Waits until the program and its children have closed the output and all is copied."""
        self._thread.join(seconds)

    def _copy(self) -> None:
        with self._output, open(self._log, "wb") as log:
            for line in self._output:
                log.write(line)
                log.flush()
                if self._words in line:
                    self._found = True
                    self._decided.set()
        self._decided.set()


def stop(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> None:
    """Sends SIGTERM and waits; kills the process if it has not ended after 40 seconds."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=40)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
