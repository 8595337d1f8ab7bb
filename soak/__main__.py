"""Runs scenarios against a server, prints their table, and writes a JSON file for each."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from pathlib import Path
from types import ModuleType

from soak.row import Row, rows_in, table
from soak.scenarios import (
    cancel,
    descriptors,
    drain,
    fleet,
    health,
    leak,
    memory,
    overload,
    ping,
    scrapes,
    signals,
    storm,
    tls,
)
from soak.server import Setting

SCENARIOS: dict[str, ModuleType] = {
    "drain": drain,
    "fleet": fleet,
    "signals": signals,
    "descriptors": descriptors,
    "memory": memory,
    "health": health,
    "scrapes": scrapes,
    "tls": tls,
    "cancel": cancel,
    "ping": ping,
    "leak": leak,
    "overload": overload,
    "storm": storm,
}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev soak", description=__doc__)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=", ".join(SCENARIOS))
    parser.add_argument("--server", type=Path, default=Path("build/release/server/lossd"))
    parser.add_argument("--out", type=Path, default=Path("build/soak"))
    parser.add_argument(
        "--before", type=Path, help="the --out of another build's run, to show its losses beside"
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of the repetitions")
    parsed = parser.parse_args()
    for name in parsed.scenarios:
        if name not in SCENARIOS:
            parser.error(f"{name}: no such scenario")
    if not parsed.server.is_file():
        parser.error(f"--server: {parsed.server} is no file")
    return parsed


def run(name: str, chosen: argparse.Namespace) -> list[Row]:
    """Runs one scenario. What goes wrong in it is a failed row and ends only this scenario."""
    folder = chosen.out / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    found: list[Row] = []
    start = time.monotonic()
    try:
        for row in SCENARIOS[name].rows(Setting(chosen.server, folder, chosen.quick)):
            print(f"{row.verdict:8}{name}: {row.done}, {row.counterpart}", flush=True)
            found.append(row)
    except Exception as error:  # Whatever it is, the other scenarios go on.
        found.append(Row(name, "ran to its end", "", 0, 0, "FAILED", f"{error!r}"))
        print(f"FAILED  {name}: {error!r}", flush=True)
    report = {
        "scenario": name,
        "server": str(chosen.server),
        "quick": chosen.quick,
        "seconds": round(time.monotonic() - start),
        "rows": [row.as_json() for row in found],
    }
    (chosen.out / f"{name}.json").write_text(json.dumps(report, indent=2) + "\n")
    return found


def main() -> int:
    chosen = arguments()
    os.nice(5)  # A soak is no measurement, and others may need the machine.
    found = [row for name in chosen.scenarios or SCENARIOS for row in run(name, chosen)]
    text = table(found, rows_in(chosen.before) if chosen.before else [])
    (chosen.out / "report.md").write_text(text + "\n")
    print(f"\n{text}")
    return 1 if any(row.verdict == "FAILED" for row in found) else 0


if __name__ == "__main__":
    sys.exit(main())
