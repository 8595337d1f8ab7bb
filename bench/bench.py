"""./dev bench measures lossd and its peers side by side, in one run on one machine.

The kernel is measured on AVX2 and on AVX-512 where the machine has both, the service on the best
of them; --instruction_set measures all on one. Prints a table and writes bench.json (a list of
{name, ours, peer, ratio, unit, what, instruction_set, goal, wanted, missed} with the machine),
machine.json and bench.png. The exit code is 1 if a measurement failed; a peer that this machine
lacks and a missed goal are no failures.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import in_process
from chart import read_rows, save_chart
from kernel_measurements import KERNEL_MEASUREMENTS
from machine import INSTRUCTION_SETS, default_rpc_threads, describe_machine, instruction_sets
from measurement import Effort, Result
from measurements import MEASUREMENTS
from programs import Programs
from started_server import PeerMissing


class Once(argparse.Action):
    """Stores the value of a flag, and refuses the flag a second time."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        if getattr(namespace, self.dest) != self.default:
            parser.error(f"{option_string} is given twice")
        setattr(namespace, self.dest, values)


def parse_arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build_dir", type=Path, default=Path("build/release"))
    parser.add_argument("--out_dir", type=Path, default=Path("build/bench"))
    parser.add_argument(
        "--only",
        action=Once,
        metavar="NAME,...",
        help="measure only these of " + ", ".join(MEASUREMENTS),
    )
    parser.add_argument(
        "--instruction_set",
        action=Once,
        default="",
        choices=["", *INSTRUCTION_SETS],
        help="measure everything on this one; by default the kernel on each, the service on the "
        "best",
    )
    parser.add_argument(
        "--rounds", type=int, default=5, help="measure each side this many times, in turns"
    )
    parser.add_argument("--seconds", type=float, default=2.0, help="time for one side in one round")
    arguments = parser.parse_args(given)
    try:
        arguments.names = chosen_names(arguments.only)
        check_effort(arguments.rounds, arguments.seconds)
        check_instruction_set(arguments.instruction_set)
        check_programs(arguments.build_dir)
        arguments.out_dir.mkdir(parents=True, exist_ok=True)
    except ValueError as error:
        parser.error(str(error))
    except OSError as error:
        parser.error(f"--out_dir={arguments.out_dir}: {error.strerror}")
    return arguments


def chosen_names(only: str | None) -> list[str]:
    """Returns what --only names, or everything without it; raises ValueError."""
    if only is None:
        return list(MEASUREMENTS)
    names = only.split(",")
    for name in names:
        if name not in MEASUREMENTS:
            raise ValueError(f"--only: {name!r} is none of {', '.join(MEASUREMENTS)}")
        if names.count(name) > 1:
            raise ValueError(f"--only: {name} is named twice")
    return names


def check_effort(rounds: int, seconds: float) -> None:
    if rounds < 1:
        raise ValueError(f"--rounds={rounds}: must be at least 1")
    if not 0 < seconds < math.inf:
        raise ValueError(f"--seconds={seconds:g}: must be above 0")


def check_instruction_set(chosen: str) -> None:
    here = instruction_sets()
    if chosen and chosen not in here:
        has = ", ".join(here) or "none of them"
        raise ValueError(f"--instruction_set={chosen}: this machine has {has}")


def check_programs(build_dir: Path) -> None:
    for program in ("server/lossd", "client/lossbench", "bench/kernels/kernel_bench"):
        if not (build_dir / program).is_file():
            raise ValueError(f"--build_dir={build_dir}: has no {program}; ./dev bench builds it")


def plan(names: list[str], chosen: str) -> list[tuple[str, list[str]]]:
    """Returns the instruction sets to measure on, each with what is measured on it.

    A machine whose sets have no name here has the one set "".
    """
    sets = [chosen] if chosen else instruction_sets() or [""]
    return [
        (one, [name for name in names if one == sets[-1] or name in KERNEL_MEASUREMENTS])
        for one in sets
    ]


def format_row(result: Result) -> str:
    measurement = MEASUREMENTS[result.name]
    verdict = "" if measurement.is_met_by(result) else "  MISSED"
    return (
        f"{result.name:46} {result.instruction_set:8}{result.ours:>14,.1f} {result.peer:>14,.1f} "
        f"{result.unit:12}{result.ratio:>8.2f}  {measurement.goal_on(result.instruction_set)}"
        f"{verdict}"
    )


def measure(names: list[str], programs: Programs, effort: Effort) -> tuple[list[Result], int]:
    """Measures in turn and prints each result; returns the results and the number of failures."""
    results: list[Result] = []
    failures = 0
    for name in names:
        try:
            result = MEASUREMENTS[name].run(name, programs, effort)
        except PeerMissing as missing:
            print(f"{name:46} not measured: {missing}", flush=True)
            continue
        except (RuntimeError, OSError) as error:
            print(f"{name:46} not measured: {error}", flush=True)
            failures += 1
            continue
        results.append(dataclasses.replace(result, instruction_set=programs.instruction_set))
        print(format_row(results[-1]), flush=True)
    return results, failures


def main() -> int:
    arguments = parse_arguments()
    if arguments.instruction_set:
        # PyTorch in this process reads it with its first operation.
        os.environ["ATEN_CPU_CAPABILITY"] = arguments.instruction_set
    machine = {**describe_machine(), "pytorch": in_process.version()}
    print(", ".join(f"{key}: {value}" for key, value in machine.items()))
    print(
        f"{'name':46} {'set':8}{'ours':>14} {'peer':>14} {'unit':12}{'ratio':>8}  goal", flush=True
    )
    effort = Effort(rounds=arguments.rounds, seconds=arguments.seconds)
    results: list[Result] = []
    failures = 0
    for instruction_set, names in plan(arguments.names, arguments.instruction_set):
        print(f"-- instruction set in use: {instruction_set or 'the best'}", flush=True)
        programs = Programs(
            build_dir=arguments.build_dir,
            log_dir=arguments.out_dir,
            server_threads=default_rpc_threads(),
            instruction_set=instruction_set,
        )
        with programs.peers:
            measured, failed = measure(names, programs, effort)
        results += measured
        failures += failed
    rows = [row_of(result, machine) for result in results]
    write_json(arguments.out_dir / "bench.json", rows)
    write_json(arguments.out_dir / "machine.json", machine)
    if results:
        chart = read_rows([arguments.out_dir / "bench.json"])
        save_chart(chart, arguments.out_dir / "bench.png")
    return 1 if failures else 0


def row_of(result: Result, machine: dict[str, object]) -> dict[str, object]:
    """Returns an entry of bench.json."""
    measurement = MEASUREMENTS[result.name]
    floor = measurement.floor_on(result.instruction_set)
    return {
        **result.as_json(),
        "goal": measurement.ceiling if floor is None else floor,
        "wanted": measurement.goal_on(result.instruction_set),
        "missed": not measurement.is_met_by(result),
        **machine,
    }


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
