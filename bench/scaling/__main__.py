"""Foretells lossd's throughput on larger hosts: ./dev scaling [--measure] [--compare]."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from machine import default_rpc_threads, describe_machine
from programs import Programs

from scaling import measure, pictures, plan
from scaling.inputs import TABLE, best_of, load_times


def main() -> None:
    parser = argparse.ArgumentParser(prog="./dev scaling", description=__doc__)
    parser.add_argument("--measure", action="store_true", help="measure the service times anew")
    parser.add_argument(
        "--compare",
        action="store_true",
        help="hold the prediction against a server on this machine",
    )
    parser.add_argument("--seconds", type=float, default=0.5, help="length of one measurement")
    parser.add_argument("--rounds", type=int, default=3, help="the best of so many counts")
    parser.add_argument("--times", type=Path, default=TABLE, help="the table of service times")
    parser.add_argument("--build_dir", type=Path, default=Path("build/release"))
    parser.add_argument("--out_dir", type=Path, default=Path("build/scaling"))
    arguments = parser.parse_args()
    arguments.out_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as logs:
        programs = Programs(arguments.build_dir, Path(logs), default_rpc_threads())
        if arguments.measure:
            rounds = [
                measure.measure_times(programs, arguments.seconds) for _ in range(arguments.rounds)
            ]
            best_of(rounds).save(arguments.times)
        times = load_times(arguments.times)
        if arguments.compare:
            cores = int(str(describe_machine()["cores"]))
            loads = plan.compared_loads(times)
            seen = [
                measure.measure_throughput(programs, loads, arguments.seconds)
                for _ in range(arguments.rounds)
            ]
            measured = [max(of_load) for of_load in zip(*seen, strict=True)]
            print(plan.of_times(times))
            print(plan.of_comparison(times, cores, loads, measured))
            return
    print(plan.of_times(times))
    print(plan.of_hosts(times))
    outcomes = plan.fleets(times)
    print(plan.of_fleets(times, outcomes))
    pictures.draw(times, outcomes, arguments.out_dir)


if __name__ == "__main__":
    main()
