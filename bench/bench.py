"""./dev bench measures lossd and its peers side by side, in one run on one machine.

It prints a table and writes bench.json (a list of {name, ours, peer, ratio, unit, what}),
machine.json and bench.png. The exit code is 1 if a measurement failed; a peer that this
machine lacks and a missed goal are no failures.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import pytorch_peer
from chart import save_chart
from machine import default_rpc_threads, describe_machine
from measurement import Effort, Result
from measurements import MEASUREMENTS
from programs import Programs
from started_server import PeerMissing


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build_dir", type=Path, default=Path("build/release"))
    parser.add_argument("--out_dir", type=Path, default=Path("build/bench"))
    parser.add_argument(
        "--only",
        default="",
        metavar="NAME,...",
        help="measure only these of " + ", ".join(MEASUREMENTS),
    )
    parser.add_argument(
        "--rounds", type=int, default=5, help="measure each side this many times, in turns"
    )
    parser.add_argument("--seconds", type=float, default=2.0, help="time for one side in one round")
    arguments = parser.parse_args()
    arguments.names = [name for name in arguments.only.split(",") if name] or list(MEASUREMENTS)
    for name in arguments.names:
        if name not in MEASUREMENTS:
            parser.error(f"--only: {name} is none of {', '.join(MEASUREMENTS)}")
    if arguments.rounds < 1 or arguments.seconds <= 0:
        parser.error("--rounds and --seconds must be positive")
    return arguments


def format_row(result: Result) -> str:
    measurement = MEASUREMENTS[result.name]
    goal = "reported"
    if measurement.floor is not None:
        goal = f">= {measurement.floor:g}"
    elif measurement.ceiling is not None:
        goal = f"<= {measurement.ceiling:g}"
    verdict = "" if measurement.is_met_by(result) else "  MISSED"
    return (
        f"{result.name:32} {result.ours:>14,.1f} {result.peer:>14,.1f} {result.unit:12}"
        f"{result.ratio:>8.2f}  {goal}{verdict}"
    )


def main() -> int:
    arguments = parse_arguments()
    arguments.out_dir.mkdir(parents=True, exist_ok=True)
    machine = {**describe_machine(), "pytorch": pytorch_peer.version()}
    print(", ".join(f"{key}: {value}" for key, value in machine.items()))
    print(f"{'name':32} {'ours':>14} {'peer':>14} {'unit':12}{'ratio':>8}  goal", flush=True)
    programs = Programs(
        build_dir=arguments.build_dir,
        log_dir=arguments.out_dir,
        server_threads=default_rpc_threads(),
    )
    effort = Effort(rounds=arguments.rounds, seconds=arguments.seconds)
    results: list[Result] = []
    failures = 0
    for name in arguments.names:
        try:
            result = MEASUREMENTS[name].run(name, programs, effort)
        except PeerMissing as missing:
            print(f"{name:32} not measured: {missing}", flush=True)
            continue
        except (RuntimeError, OSError) as error:
            print(f"{name:32} not measured: {error}", flush=True)
            failures += 1
            continue
        results.append(result)
        print(format_row(result), flush=True)
    write_json(arguments.out_dir / "bench.json", [result.as_json() for result in results])
    write_json(arguments.out_dir / "machine.json", machine)
    if results:
        save_chart(results, machine, arguments.out_dir / "bench.png")
    return 1 if failures else 0


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
