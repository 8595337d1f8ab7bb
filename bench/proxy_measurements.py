"""Measures what Envoy in front costs lossd, beside what it costs an echo of raw bytes."""

from __future__ import annotations

import contextlib
import re
import socket
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from measurement import MEBI, Effort, Measurement, Result
from peer_measurements import closed_loop
from programs import Programs
from started_server import PeerMissing, Server, stop

CONFIG = Path(__file__).resolve().parent.parent / "deploy" / "envoy" / "envoy.yaml"
SECONDS_TO_START = 30.0
HEALTH_CHECKS = re.compile(r"^ +health_checks:\n.*?(?=^ +outlier_detection:\n)", re.M | re.S)
ENDPOINT = re.compile(r"address: lossd-[abc], port_value: 50051")


def envoy_and_direct(elements: int, concurrency: int) -> Callable[[str, Programs, Effort], Result]:
    def run(name: str, programs: Programs, effort: Effort) -> Result:
        envoy = _program(programs)
        load = closed_loop(elements, concurrency, effort)

        def rate(server: Server, peer: str) -> float:
            return float(programs.load(server, load, peer=peer)["requests_per_second"])

        with programs.lossd() as lossd:
            sizes = programs.load(lossd, {"elements": elements, "requests": 10, "warmup": "0s"})
            with (
                programs.echo(sizes["reply_bytes"]) as echo,
                _behind(envoy, lossd, programs, "lossd") as lossd_behind,
                _behind(envoy, echo, programs, "echo") as echo_behind,
            ):
                sides = ((lossd, ""), (lossd_behind, ""), (echo, "echo"), (echo_behind, "echo"))
                rounds = [[rate(*side) for side in sides] for _ in range(effort.rounds)]
        direct, behind, echo_direct, echo_rate = (
            statistics.median(side) for side in zip(*rounds, strict=True)
        )
        ours, peer = 100 * behind / direct, 100 * echo_rate / echo_direct
        what = (
            f"ComputeLoss of {elements} float32 elements at concurrency {concurrency} behind "
            f"{_version(envoy)}, with deploy/envoy/envoy.yaml and {programs.server_threads} "
            f"workers, as a part of the rate without it ({behind:.0f} of {direct:.0f} a second); "
            f"peer: the same part for an echo of as many bytes ({echo_rate:.0f} of "
            f"{echo_direct:.0f})"
        )
        return Result(name, ours, peer, ours / peer, "% of direct", what)

    return run


def _program(programs: Programs) -> Path:
    """Returns the program that ./dev bench installs; PeerMissing where there is none."""
    program = programs.build_dir.parent / "venv-envoy" / "bin" / "envoy"
    if not program.exists():
        raise PeerMissing(f"no {program} (tools/setup.sh: need_envoy)")
    return program


def _version(program: Path) -> str:
    told = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    found = re.search(r"\d+\.\d+\.\d+", told.stdout)
    return f"Envoy {found[0] if found else '?'}"


@contextlib.contextmanager
def _behind(program: Path, server: Server, programs: Programs, name: str) -> Iterator[Server]:
    """Runs Envoy before one server until the block ends; it logs to envoy-NAME.log.

    Health is not checked, because the echo does not speak of it.
    """
    port = _free_port()
    host, number = server.target.rsplit(":", 1)
    text = ENDPOINT.sub(f"address: {host}, port_value: {number}", CONFIG.read_text())
    text = HEALTH_CHECKS.sub("", text).replace("port_value: 9901", "port_value: 0")
    file = programs.log_dir / f"envoy-{name}.yaml"
    file.write_text(text.replace("0.0.0.0, port_value: 50050", f"127.0.0.1, port_value: {port}"))
    command = [str(program), "-c", str(file), "--log-level", "warning", "--use-dynamic-base-id"]
    command += ["--concurrency", str(programs.server_threads)]
    with open(programs.log_dir / f"envoy-{name}.log", "a", encoding="utf-8") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, text=True)
    try:
        _wait_until_it_listens(process, port)
        yield Server(f"127.0.0.1:{port}", process.pid)
    finally:
        stop(process)


def _wait_until_it_listens(process: subprocess.Popen[str], port: int) -> None:
    end = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < end and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError("Envoy does not serve")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


PROXY_MEASUREMENTS: dict[str, Measurement] = {
    "envoy_1Mi_c4_vs_direct": Measurement(0.95, envoy_and_direct(MEBI, 4)),
    "envoy_64_c64_vs_direct": Measurement(0.95, envoy_and_direct(64, 64)),
}
