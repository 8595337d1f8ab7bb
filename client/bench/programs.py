"""The programs that the bench runs: servers that it starts and stops, and tools."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


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


@dataclass(frozen=True)
class Programs:
    """Where the build put its programs, and how many threads each server gets."""

    build_dir: Path
    log_dir: Path
    server_threads: int

    @contextlib.contextmanager
    def lossd(self, *flags: str) -> Iterator[Server]:
        with self._serve(
            [
                str(self.build_dir / "server" / "lossd"),
                "--listen=127.0.0.1:0",
                "--metrics_listen=127.0.0.1:0",
                "--backend=cpu",
                f"--rpc_threads={self.server_threads}",
                *flags,
            ]
        ) as server:
            yield server

    @contextlib.contextmanager
    def echo(self, reply_bytes: int) -> Iterator[Server]:
        with self._serve(
            [
                str(self.build_dir / "client" / "echo_server"),
                f"--threads={self.server_threads}",
                f"--reply_bytes={reply_bytes}",
            ]
        ) as server:
            yield server

    @contextlib.contextmanager
    def _serve(self, command: list[str]) -> Iterator[Server]:
        """Runs `command` until the block ends; it says where it listens in one line."""
        name = Path(command[0]).name
        with open(self.log_dir / f"{name}.log", "a", encoding="utf-8") as log:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            assert process.stdout is not None
            words = process.stdout.readline().split()
            if words[1:3] != ["listening", "on"]:
                raise RuntimeError(f"{name} did not start: see {log.name}")
            yield Server(words[3], process.pid, words[6] if len(words) > 6 else "")
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def load(
        self, server: Server, flags: Mapping[str, object], *, echo: bool = False
    ) -> dict[str, Any]:
        """One run of lossbench, which must see no errors."""
        command = [
            str(self.build_dir / "client" / "lossbench"),
            f"--target={server.target}",
            f"--echo={str(echo).lower()}",
            "--json",
            *(f"--{name}={value}" for name, value in flags.items()),
        ]
        report: dict[str, Any] = json.loads(_output(command))
        if report["errors"]:
            raise RuntimeError(f"calls failed: {report['errors']}")
        return report

    def kernel_rate(self, case: str, seconds: float) -> float:
        """Elements per second of a case of kernel_bench, by its full name."""
        program = str(self.build_dir / "kernels" / "cpu" / "kernel_bench")
        output = _output(
            [
                program,
                f"--benchmark_filter=^{case}(/real_time.*)?$",
                f"--benchmark_min_time={seconds}",
                "--benchmark_format=json",
            ]
        )
        runs = json.loads(output)["benchmarks"]
        if len(runs) != 1:
            raise RuntimeError(f"{program} has {len(runs)} cases named {case}")
        return float(runs[0]["items_per_second"])


def _output(command: list[str]) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, timeout=600)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}")
    return done.stdout
