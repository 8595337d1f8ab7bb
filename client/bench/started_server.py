"""A server that the bench has started."""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path


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


def stop(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> None:
    """Asks it to end, and sees to it."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=40)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
