"""Asks the packages and lossd: python -m tests.peers [--list] [NAME...].

A check whose name contains a NAME is run; without one, all are. The answers are written to
tests/peers/report.json and to the tables of docs/coming_from.md. A check whose language cannot be
installed is skipped, with the reason, and keeps what the report has. LOSSD_BINARY_DIR has the
server. The exit code is 1 if a check fails, and 2 if no check has such a name.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import groupby
from typing import Any

from tests.e2e.running_server import running_server
from tests.peers import checks, report, table
from tests.peers.checks import Check


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev peers", description="asks other packages' losses")
    parser.add_argument("--list", action="store_true", help="print the checks' names, run nothing")
    parser.add_argument("names", nargs="*", metavar="NAME", help="a part of the names of checks")
    return parser.parse_args()


def outcomes(address: str, chosen: list[Check]) -> Iterator[tuple[Check, str, Any]]:
    """Runs checks. Yields each with ok, DIFFERS, FAILED or SKIPPED, and what was found or None.

    Each package has a process of its own: some end a process in which another one is loaded.
    """
    spawn = multiprocessing.get_context("spawn")
    for _, group in groupby(chosen, key=lambda one: one.package):
        pool = ProcessPoolExecutor(1, spawn)
        for one in group:
            try:
                found = pool.submit(checks.run, address, one.name).result()
            except checks.Unavailable as reason:
                print(f"SKIPPED {one.name}: {reason}", flush=True)
                yield one, "SKIPPED", None
                continue
            except Exception as error:  # the packages raise what they like
                print(f"FAILED {one.name}: {type(error).__name__}: {error}", flush=True)
                if isinstance(error, BrokenProcessPool):
                    pool = ProcessPoolExecutor(1, spawn)
                yield one, "FAILED", None
                continue
            worst = checks.worst(found)
            word = "ok" if worst <= checks.TOLERANCE else "DIFFERS"
            print(f"{word} {worst:.1e} {one.name}", flush=True)
            yield one, word, found
        pool.shutdown()


def main() -> int:
    given = arguments()
    every = list(checks.by_name().values())
    chosen = [one for one in every if not given.names or any(n in one.name for n in given.names)]
    if not chosen:
        print(f"{' '.join(given.names)}: no check has that in its name", file=sys.stderr)
        return 2
    if given.list:
        print("\n".join(one.name for one in chosen))
        return 0
    counts = dict.fromkeys(("ok", "DIFFERS", "FAILED", "SKIPPED"), 0)
    answers = report.read()
    with running_server("--log_level=error") as server:
        for one, word, found in outcomes(server.address, sorted(chosen, key=lambda c: c.package)):
            counts[word] += 1
            if word != "SKIPPED":
                report.put(answers, one, found)
                report.write(answers, every)
    table.write(answers)
    print(", ".join(f"{count} {word}" for word, count in counts.items()))
    return int(counts["DIFFERS"] + counts["FAILED"] > 0)


if __name__ == "__main__":
    sys.exit(main())
