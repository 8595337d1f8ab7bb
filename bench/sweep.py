"""./dev bench sweep draws latency against load, and throughput against size.

For latency, small requests arrive in an open loop (Poisson arrivals, latency from the
intended start) at rising rates. lossd, lossd with one request in a batch, and the echo are
measured in turns. For throughput, a closed loop sends larger and larger requests to the echo and
to lossd on each instruction set of the machine. Latency is measured on the best one, or on that of
--instruction_set. Writes sweep.json, latency_against_load.png, queue_time.png and
throughput_against_size.png.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sweep_charts
from machine import INSTRUCTION_SETS, default_rpc_threads, describe_machine, instruction_sets
from programs import Programs
from scrape import Histogram, histogram_of
from started_server import Server

SMALL_ELEMENTS = 64
LOADS = (0.1, 0.25, 0.5, 0.65, 0.8, 0.9, 1.0)  # fractions of lossd's closed-loop rate
SIZES = tuple(1 << power for power in range(6, 23, 2))
MOST_IN_FLIGHT = 1024
SCRAPED = {"queue_seconds": "lossd_queue_seconds", "batch_requests": "lossd_batch_requests"}


@dataclass(frozen=True)
class Side:
    """A server to measure, with its name in the pictures."""

    name: str
    server: Server
    peer: str = ""  # the value of lossbench's --peer


@dataclass(frozen=True)
class Effort:
    rounds: int
    seconds: float

    def load(self, **flags: object) -> dict[str, object]:
        return {"duration": f"{self.seconds}s", "warmup": f"{self.seconds / 4}s", **flags}


def measure(programs: Programs, side: Side, flags: Mapping[str, object]) -> dict[str, Any]:
    """Returns lossbench's report with the server's CPU time and lossd's histograms added.

    The CPU time and the histograms include the warm-up.
    """
    cpu_before = side.server.cpu_seconds()
    before = {} if side.peer else scrape(side.server)
    report = programs.load(side.server, flags, peer=side.peer)
    spent = side.server.cpu_seconds() - cpu_before
    report["server_cpu_us_per_request"] = 1e6 * spent / report["requests"]
    for name, histogram in before.items():
        report[name] = scrape(side.server)[name].since(histogram).as_json()
    return report


def scrape(server: Server) -> dict[str, Histogram]:
    return {name: histogram_of(server.metrics, metric) for name, metric in SCRAPED.items()}


def in_turns(
    programs: Programs, sides: list[Side], effort: Effort, **flags: object
) -> dict[str, dict[str, Any]]:
    """Measures all sides in turns; returns each one's report with the median p99 latency."""
    reports: dict[str, list[dict[str, Any]]] = {side.name: [] for side in sides}
    for _ in range(effort.rounds):
        for side in sides:
            reports[side.name].append(measure(programs, side, effort.load(**flags)))
    return {
        name: sorted(runs, key=lambda run: run["latency_us"]["p99"])[len(runs) // 2]
        for name, runs in reports.items()
    }


@contextlib.contextmanager
def serve_small(programs: Programs) -> Iterator[list[Side]]:
    """Starts the sides of the latency: lossd, lossd without batches, and the echo."""
    with contextlib.ExitStack() as stack:
        lossd = stack.enter_context(programs.lossd())
        single = stack.enter_context(programs.lossd("--max_batch_requests=1"))
        echo = echo_for(programs, lossd, SMALL_ELEMENTS, stack)
        yield [Side("lossd", lossd), Side("lossd, one request a batch", single), echo]


@contextlib.contextmanager
def serve_sets(programs: Programs, elements: int, sets: list[str]) -> Iterator[list[Side]]:
    """Starts the sides of the throughput: lossd on each instruction set, and the echo."""
    with contextlib.ExitStack() as stack:
        sides = []
        for one in sets:
            lossd = dataclasses.replace(programs, instruction_set=one).lossd()
            sides.append(Side(sweep_charts.name_on(one), stack.enter_context(lossd)))
        yield [*sides, echo_for(programs, sides[0].server, elements, stack)]


def echo_for(programs: Programs, lossd: Server, elements: int, stack: contextlib.ExitStack) -> Side:
    """Starts the echo, whose replies are as large as lossd's to `elements` elements."""
    reply = programs.load(lossd, {"elements": elements, "requests": 10, "warmup": "0s"})
    echo = stack.enter_context(programs.echo(reply["reply_bytes"]))
    return Side("echo", echo, peer="echo")


def sweep_loads(programs: Programs, effort: Effort) -> dict[str, Any]:
    # The closed loops warm the servers up for the open ones.
    small = {"elements": SMALL_ELEMENTS, "threads": 2, "warmup": "0s"}
    with serve_small(programs) as sides:
        lone = in_turns(programs, sides, effort, elements=SMALL_ELEMENTS, concurrency=1)
        full = in_turns(programs, sides, effort, **small, concurrency=64)
        rate = full["lossd"]["requests_per_second"]
        points = []
        for load in LOADS:
            reports = in_turns(
                programs, sides, effort, **small, rate=load * rate, concurrency=MOST_IN_FLIGHT
            )
            points.append({"load": load, "rate": load * rate, "sides": reports})
            print(load_row(load * rate, reports), flush=True)
    return {"elements": SMALL_ELEMENTS, "lone": lone, "closed_loop": full, "open_loop": points}


def load_row(rate: float, reports: Mapping[str, Any]) -> str:
    cells = [
        f"{name}: p50 {report['latency_us']['p50']:,.0f} p99 {report['latency_us']['p99']:,.0f} us"
        for name, report in reports.items()
    ]
    return f"{rate:>9,.0f}/s  " + ";  ".join(cells)


def sweep_sizes(programs: Programs, effort: Effort, sets: list[str]) -> list[dict[str, Any]]:
    points = []
    for elements in SIZES:
        with serve_sets(programs, elements, sets) as sides:
            reports = in_turns(programs, sides, effort, elements=elements, threads=2, concurrency=4)
        points.append({"elements": elements, "sides": reports})
        rates = {name: report["elements_per_second"] for name, report in reports.items()}
        cells = [f"{name}: {value:,.0f} elements/s" for name, value in rates.items()]
        print(f"{elements:>9} elements  " + ";  ".join(cells), flush=True)
    return points


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build_dir", type=Path, default=Path("build/release"))
    parser.add_argument("--out_dir", type=Path, default=Path("build/bench"))
    parser.add_argument(
        "--rounds", type=int, default=3, help="measure each side this many times, in turns"
    )
    parser.add_argument("--seconds", type=float, default=2.0, help="time for one side in one round")
    parser.add_argument(
        "--instruction_set",
        default="",
        choices=["", *INSTRUCTION_SETS],
        help="measure lossd on this one alone; by default throughput on each, latency on the best",
    )
    arguments = parser.parse_args()
    if arguments.rounds < 1 or arguments.seconds <= 0:
        parser.error("--rounds and --seconds must be positive")
    return arguments


def main() -> int:
    arguments = parse_arguments()
    arguments.out_dir.mkdir(parents=True, exist_ok=True)
    chosen = arguments.instruction_set
    sets = [chosen] if chosen else instruction_sets() or [""]
    machine = {**describe_machine(), "instruction_set": sets[-1] or "the best"}
    print(", ".join(f"{key}: {value}" for key, value in machine.items()), flush=True)
    programs = Programs(
        build_dir=arguments.build_dir,
        log_dir=arguments.out_dir,
        server_threads=default_rpc_threads(),
        instruction_set=sets[-1],
    )
    effort = Effort(rounds=arguments.rounds, seconds=arguments.seconds)
    loads = sweep_loads(programs, effort)
    sizes = sweep_sizes(programs, effort, sets)
    measured = {"machine": machine, "loads": loads, "sizes": sizes}
    (arguments.out_dir / "sweep.json").write_text(json.dumps(measured, indent=2) + "\n")
    sweep_charts.save_latency(loads, machine, arguments.out_dir / "latency_against_load.png")
    sweep_charts.save_queue_time(loads, machine, arguments.out_dir / "queue_time.png")
    sweep_charts.save_throughput(sizes, machine, arguments.out_dir / "throughput_against_size.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
