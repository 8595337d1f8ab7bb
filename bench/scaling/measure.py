"""Measures the service times on this machine, and the throughput that the model foretells."""

from __future__ import annotations

import json
import resource
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from machine import describe_machine
from programs import Programs
from started_server import Server

from scaling.inputs import Load, ServiceTimes, Transport

SMALL, LARGE = 64, 1 << 20
BUSY, FEW = 64, 4


@dataclass(frozen=True)
class Cost:
    """One closed loop of lossbench with one client thread, all times for one request."""

    requests_per_second: float
    server_seconds: float  # of processors
    client_seconds: float


def _client_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def cost(
    programs: Programs, server: Server, flags: Mapping[str, object], seconds: float, peer: str = ""
) -> Cost:
    """Runs the load for two durations. Their difference leaves out the start of the client."""
    seen = []
    for duration in (seconds / 4, seconds):
        before = server.cpu_seconds(), _client_seconds()
        report = programs.load(
            server, {**flags, "duration": f"{duration}s", "warmup": "0s"}, peer=peer
        )
        requests = report["requests_per_second"] * report["seconds"]
        spent = server.cpu_seconds() - before[0], _client_seconds() - before[1]
        seen.append((requests, *spent, report["requests_per_second"]))
    short, long = seen
    requests = long[0] - short[0]
    return Cost(long[3], (long[1] - short[1]) / requests, (long[2] - short[2]) / requests)


def flags_of(load: Load) -> dict[str, object]:
    session = {"session": "true"} if load.kind == "session" else {}
    return {"elements": load.elements, "concurrency": load.concurrency, "threads": 1} | session


def _transport(programs: Programs, server: Server, kind: str, seconds: float) -> Transport:
    def of(concurrency: int) -> Cost:
        return cost(programs, server, flags_of(Load(SMALL, concurrency, kind)), seconds)

    busy, lone = of(BUSY), of(1)
    return Transport(
        server=busy.server_seconds,
        client=busy.client_seconds,
        server_wake=max(lone.server_seconds - busy.server_seconds, 0),
        client_wake=max(lone.client_seconds - busy.client_seconds, 0),
    )


def has_sessions(programs: Programs, server: Server) -> bool:
    try:
        programs.load(server, {"elements": 1, "requests": 1, "warmup": "0s", "session": "true"})
    except RuntimeError:
        return False
    return True


def _lock_seconds(programs: Programs) -> float:
    """Returns the processor time of a permit and its return, which one lock guards."""
    done = subprocess.run(
        [
            str(programs.build_dir / "bench" / "admission" / "admission_bench"),
            "--benchmark_filter=^one_connection/real_time/threads:1$",
            "--benchmark_format=json",
        ],
        stdout=subprocess.PIPE,
        check=True,
    )
    return float(json.loads(done.stdout)["benchmarks"][0]["cpu_time"]) * 1e-9


def measure_times(programs: Programs, seconds: float) -> ServiceTimes:
    """Returns the service times; each run takes about `seconds`."""
    rate = programs.kernel_rate("f32_gradient/65536", seconds)
    with programs.lossd() as lossd:
        unary = _transport(programs, lossd, "unary", seconds)
        session = None
        if has_sessions(programs, lossd):
            session = _transport(programs, lossd, "session", seconds)
        large = cost(programs, lossd, flags_of(Load(LARGE, FEW)), 2 * seconds)
    load = Load(LARGE, FEW)
    tensors = load.request_bytes + load.reply_bytes
    with programs.echo(SMALL * 4) as echo:
        lone = cost(programs, echo, flags_of(Load(SMALL, 1)), seconds, peer="echo")
    with programs.echo(LARGE * 4) as echo:
        carried = cost(programs, echo, flags_of(load), seconds, peer="echo")
    machine = describe_machine()
    return ServiceTimes(
        cpu=f"{machine['cpu']}, {machine['cores']} cores, {machine['instruction_sets']}",
        date=str(machine["date"]),
        unary=unary,
        session=session,
        server_seconds_per_byte=(large.server_seconds - unary.server - LARGE / rate) / tensors,
        client_seconds_per_byte=(large.client_seconds - unary.client) / tensors,
        elements_per_second=rate,
        connection_bytes_per_second=carried.requests_per_second * tensors,
        # A lone echo takes two wake-ups beyond the processors' time.
        wake_seconds=max(
            (1 / lone.requests_per_second - lone.server_seconds - lone.client_seconds) / 2, 0
        ),
        lock_seconds=_lock_seconds(programs),
    )


def measure_throughput(programs: Programs, loads: list[Load], seconds: float) -> list[float]:
    """Returns the requests a second of each load on a server with one RPC thread."""
    with programs.lossd() as lossd:
        return [
            float(
                programs.load(
                    lossd, {**flags_of(load), "duration": f"{seconds}s", "warmup": "0.1s"}
                )["requests_per_second"]
            )
            for load in loads
        ]
