"""A server that the bench has started."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import IO


class PeerMissing(RuntimeError):
    """A peer that this machine does not have: no defect of the bench."""


@dataclass(frozen=True)
class Server:
    """A server that listens; `target` is its address for lossbench."""

    target: str
    pid: int
    metrics: str = ""  # HOST:PORT of /metrics, where there is one

    def resident_bytes(self) -> int:
        """Resident memory, as the kernel counts it."""
        return self._status_bytes("VmRSS")

    def peak_resident_bytes(self) -> int:
        """The most that it ever was."""
        return self._status_bytes("VmHWM")

    def _status_bytes(self, name: str) -> int:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError(f"process {self.pid} has no {name}")

    def cpu_seconds(self) -> float:
        """What all its threads have used so far, in user and kernel mode, in clock ticks' steps."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Transcript:
    """What a program prints, copied to a file; one can wait until a line of it holds some words.

    For programs that say only there that they have started.
    """

    def __init__(self, output: IO[bytes], log: Path, words: str) -> None:
        self._output, self._log, self._words = output, log, words.encode()
        self._found = False
        self._decided = threading.Event()  # found, or all is read
        # Goes on reading: a full pipe would stop the program.
        self._thread = threading.Thread(target=self._copy, daemon=True)
        self._thread.start()

    def wait_for_words(self, seconds: float) -> bool:
        """True as soon as they are there, False as soon as the output has ended without them."""
        self._decided.wait(seconds)
        return self._found

    def wait_for_end(self, seconds: float) -> None:
        """Until all is in the file: the program and those that it started have closed theirs."""
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
    """Asks it to end, and sees to it."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=40)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
