"""A lossd under test: it is started, ended, started again and looked into."""

from __future__ import annotations

import contextlib
import random
import re
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from soak.cgroup import CgroupLimits
from soak.network import Network

READY = re.compile(r"lossd listening on (\S+) metrics on (\S+)")
SAMPLE = re.compile(r"^(\w+)(?:\{.*\})? (\S+)$", re.MULTILINE)
# This bounds every wait. It is generous, because the machine may be busy.
PATIENCE = 60.0  # seconds


@dataclass(frozen=True)
class Setting:
    """What a scenario runs against."""

    program: Path  # of the server
    folder: Path  # for whatever the scenario leaves behind
    quick: bool

    def times(self, full: int) -> int:
        """Returns how often to do something that a full run does `full` times."""
        return max(full // 10, 2) if self.quick else full

    def knows(self, flag: str) -> bool:
        """Returns whether the server has the flag, which an older build may lack."""
        shown = subprocess.run(
            [self.program, "--help"], capture_output=True, text=True, check=True
        ).stdout
        return f"{flag}=" in shown


class Server:
    """One address on which a lossd runs, ends and runs again.

    `limits` is the control group in which it runs, `cpus` are the processors (all by default);
    `shell` is run before it in its process, for ulimits. `network` is where it is reached if not
    on loopback. Only the thread that made it may use it.
    """

    def __init__(
        self,
        setting: Setting,
        *flags: str,
        limits: CgroupLimits | None = None,
        cpus: str = "",
        shell: str = ":",
        network: Network | None = None,
        name: str = "server",
    ) -> None:
        host = network.host if network else "127.0.0.1"
        self._port = free_port()
        self._inside = (*(network.inside if network else ()), *on_cpus(cpus))
        self._enter = f"{limits.enter if limits else ':'} && {shell} && "
        self._arguments = [
            str(setting.program.resolve()),
            f"--listen={host}:{self._port}",
            f"--metrics_listen={host}:0",
            *flags,
        ]
        self.log = setting.folder / f"{name}.log"
        self.address = f"{host}:{self._port}"
        self.metrics = ""  # HOST:PORT of /metrics, another one at each start
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Starts the server and waits for its ready line; RuntimeError without one."""
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [
                    *self._inside,
                    "/bin/sh",
                    "-c",
                    f'{self._enter} exec "$@"',
                    "sh",
                    *self._arguments,
                ],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.process.stdout is not None
        ready = READY.match(self.process.stdout.readline())
        if ready is None:
            raise RuntimeError(f"no ready line; see {self.log}")
        self.metrics = ready[2]

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Sends the signal, waits, and returns the exit code."""
        self.send(number)
        return self.wait()

    def wait(self) -> int:
        """Waits for the end and returns the exit code; kills the process if it stays too long."""
        assert self.process is not None
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise RuntimeError(f"no end of the server in {PATIENCE:.0f} s") from None
        finally:
            assert self.process.stdout is not None
            self.process.stdout.close()

    def total(self, metric: str) -> float:
        """Returns the sum of a metric's samples; 0 if the page has none."""
        page = urllib.request.urlopen(f"http://{self.metrics}/metrics", timeout=PATIENCE)
        with page as reply:
            text = reply.read().decode()
        return sum(float(value) for name, value in SAMPLE.findall(text) if name == metric)

    def wait_for_calls(self) -> None:
        """Waits until a call has been answered since the start."""
        waited = wait_until(lambda: self.total("lossd_requests_total") > 0)
        if waited == float("inf"):
            raise RuntimeError(f"no call came to {self.address}")

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def resident_bytes(self) -> int:
        return self._status_bytes("VmRSS")

    def peak_bytes(self) -> int:
        """Returns the most bytes that were ever resident."""
        return self._status_bytes("VmHWM")

    def _status_bytes(self, name: str) -> int:
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(rf"{name}:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) * 1024

    def last_words(self) -> str:
        """Returns the last line of the log."""
        lines = self.log.read_text(errors="replace").splitlines()
        return lines[-1] if lines else ""


def on_cpus(cpus: str) -> tuple[str, ...]:
    """Returns the command that runs another on these processors, all if there are none named."""
    return ("taskset", "--cpu-list", cpus) if cpus else ()


@contextlib.contextmanager
def running(*servers: Server) -> Iterator[None]:
    """Starts servers, and ends those that still run."""
    try:
        for server in servers:
            server.start()
        yield
    finally:
        for server in servers:
            if server.alive():
                server.end()


def free_port() -> int:
    """Returns a port below those of outgoing connections, which could take it between two runs."""
    while True:
        port = random.randrange(20_000, 32_000)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


def wait_until(condition: Callable[[], bool], seconds: float = PATIENCE) -> float:
    """Asks 20 times a second; returns how long it took, or infinity after `seconds`."""
    start = time.monotonic()
    while time.monotonic() - start < seconds:
        if condition():
            return time.monotonic() - start
        time.sleep(0.05)
    return float("inf")


def counts(numbers: dict[str, int]) -> str:
    """Writes counts for a cell of the table: "3 UNAVAILABLE, 1 CANCELLED"."""
    return ", ".join(f"{count} {name}" for name, count in sorted(numbers.items()))


def slowest(seconds: Sequence[float]) -> str:
    return f"slowest {max(seconds):.2f} s" if seconds else "none measured"
