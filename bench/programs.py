"""Runs the programs of the bench: servers that it starts and stops, tools, and peers."""

from __future__ import annotations

import contextlib
import functools
import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from in_process import Peer, PeerProcesses
from started_server import PeerMissing, Server, stop


@dataclass(frozen=True)
class Programs:
    """Starts the programs of one build; every server gets the same number of threads.

    All of them compute with `instruction_set`; with "" each one chooses.
    """

    build_dir: Path
    log_dir: Path
    server_threads: int
    instruction_set: str = ""

    @functools.cached_property
    def peers(self) -> PeerProcesses:
        return PeerProcesses(self.log_dir, self.instruction_set)

    def peer_rate(self, peer: Peer, elements: int, seconds: float, threads: int) -> float:
        """Returns the elements per second of a peer that computes in process."""
        return self.peers.elements_per_second(peer, elements, seconds, threads)

    @contextlib.contextmanager
    def lossd(self, *flags: str, cpus: str = "") -> Iterator[Server]:
        with self._serve(
            [
                str(self.build_dir / "server" / "lossd"),
                "--listen=127.0.0.1:0",
                "--metrics_listen=127.0.0.1:0",
                "--backend=cpu",
                f"--rpc_threads={self.server_threads}",
                *([f"--instruction_set={chosen}"] if (chosen := self.instruction_set) else []),
                *flags,
            ],
            cpus,
        ) as server:
            yield server

    @contextlib.contextmanager
    def echo(self, reply_bytes: int) -> Iterator[Server]:
        with self._serve(
            [
                str(self.build_dir / "bench" / "peers" / "echo_server"),
                f"--threads={self.server_threads}",
                f"--reply_bytes={reply_bytes}",
            ]
        ) as server:
            yield server

    @contextlib.contextmanager
    def protobuf_echo(self) -> Iterator[Server]:
        with self._serve(
            [
                str(self.build_dir / "bench" / "peers" / "protobuf_echo_server"),
                f"--threads={self.server_threads}",
                # A call object keeps the memory of its messages, so only a few are made.
                "--calls=8",
            ]
        ) as server:
            yield server

    @contextlib.contextmanager
    def triton(self) -> Iterator[Server]:
        import triton_peer

        with triton_peer.serve(self.triton_venv, self.log_dir) as server:
            yield server

    @property
    def triton_venv(self) -> Path:
        """The virtual environment that ./dev bench makes for Triton; it may not exist."""
        return self.build_dir.parent / "venv-triton"

    @contextlib.contextmanager
    def _serve(self, command: list[str], cpus: str = "") -> Iterator[Server]:
        """Runs a server until the block ends. Its first line of output says where it listens."""
        name = Path(command[0]).name
        with open(self.log_dir / f"{name}.log", "a", encoding="utf-8") as log:
            process = subprocess.Popen(
                [*_on_cpus(cpus), *command], stdout=subprocess.PIPE, stderr=log, text=True
            )
        try:
            assert process.stdout is not None
            words = process.stdout.readline().split()
            if words[1:3] != ["listening", "on"]:
                raise RuntimeError(f"{name} did not start: see {log.name}")
            yield Server(words[3], process.pid, words[6] if len(words) > 6 else "")
        finally:
            stop(process)

    def load(
        self,
        server: Server,
        flags: Mapping[str, object],
        *,
        peer: str = "",
        may_fail: bool = False,
        cpus: str = "",
    ) -> dict[str, Any]:
        """Returns the report of one run of lossbench.

        Raises RuntimeError if a call failed and none may.
        """
        command = [
            *_on_cpus(cpus),
            str(self.build_dir / "client" / "lossbench"),
            f"--target={server.target}",
            f"--peer={peer}",
            "--json",
            *(f"--{name}={value}" for name, value in flags.items()),
        ]
        report: dict[str, Any] = json.loads(_output(command))
        if report["errors"] and not may_fail:
            raise RuntimeError(f"calls failed: {report['errors']}")
        return report

    def kernel_rate(self, case: str, seconds: float) -> float:
        """Returns the elements per second of the case of kernel_bench with this full name."""
        return _rate(self._kernel_bench(case, seconds), case)

    def kernel_set(self) -> str:
        """Returns the name that kernel_bench has for the instruction set."""
        return str(self._kernel_bench("f32_loss/65536", 0.01)["context"]["instruction_set"])

    def baseline_kernel_rate(self, case: str, seconds: float) -> float:
        """Returns the elements per second of kernel_bench of the commit 7f199e9.

        Raises PeerMissing if ./dev bench could not build it.
        """
        program = self.build_dir.parent / "kernel-baseline" / "kernel_bench"
        if not program.exists():
            raise PeerMissing(f"no {program}")
        return _rate(_kernel_bench([str(program)], case, seconds), case)

    def _kernel_bench(self, case: str, seconds: float) -> dict[str, Any]:
        program = str(self.build_dir / "bench" / "kernels" / "kernel_bench")
        command = [program, f"--instruction_set={self.instruction_set}"]
        return _kernel_bench(command, case, seconds)


def _on_cpus(cpus: str) -> tuple[str, ...]:
    """Returns the command that runs another on these processors; on all if none is named."""
    return ("taskset", "--cpu-list", cpus) if cpus else ()


def _kernel_bench(command: list[str], case: str, seconds: float) -> dict[str, Any]:
    """Returns the report of the case with this full name."""
    flags = [f"--benchmark_filter=^{case}(/real_time.*)?$", f"--benchmark_min_time={seconds}"]
    output = _output([*command, *flags, "--benchmark_format=json"])
    report: dict[str, Any] = json.loads(output)
    return report


def _rate(report: dict[str, Any], case: str) -> float:
    runs = report["benchmarks"]
    if len(runs) != 1:
        raise RuntimeError(f"kernel_bench has {len(runs)} cases named {case}")
    if runs[0].get("error_occurred"):
        raise RuntimeError(f"kernel_bench: {case}: {runs[0]['error_message']}")
    return float(runs[0]["items_per_second"])


def _output(command: list[str]) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, timeout=600)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}")
    return done.stdout
