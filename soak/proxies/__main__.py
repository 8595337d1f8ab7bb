"""Puts real proxies before three servers, ends the servers, and prints what was lost."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from soak.proxies import calls, streams
from soak.proxies.fleet import Fleet, Front, in_front, running_fleet
from soak.proxies.proxy import KINDS, Kind, NoProxy
from soak.row import Row, not_run, table
from soak.server import Setting

PARTS: dict[str, Callable[[Fleet, Front], Iterator[Row]]] = {
    "calls": calls.rows,
    "streams": streams.rows,
}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev proxies", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="PROXY", help=", ".join(KINDS))
    parser.add_argument("--part", choices=list(PARTS), help="do only this; by default everything")
    parser.add_argument("--server", type=Path, default=Path("build/release/server/lossd"))
    parser.add_argument("--envoy", type=Path, help="the folder of the program envoy")
    parser.add_argument("--out", type=Path, default=Path("build/proxies"))
    parser.add_argument("--quick", action="store_true", help="a tenth of the repetitions")
    parsed = parser.parse_args()
    for name in parsed.names:
        if name not in KINDS:
            parser.error(f"{name}: no such proxy")
    if not parsed.server.is_file():
        parser.error(f"--server: {parsed.server} is no file")
    return parsed


def run(name: str, kind: Kind, chosen: argparse.Namespace) -> Iterator[Row]:
    """Yields the rows of one proxy. What goes wrong is a failed row and ends only its part."""
    folder = chosen.out / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    folders = [chosen.envoy] if chosen.envoy else []
    for part in [chosen.part] if chosen.part else PARTS:
        setting = Setting(chosen.server, folder, chosen.quick)
        try:
            with (
                running_fleet(setting, part) as fleet,
                in_front(fleet, name, kind, folders) as front,
            ):
                yield from PARTS[part](fleet, front)
        except NoProxy as reason:
            yield not_run(name, part, kind.name, str(reason))
        except Exception as error:  # Whatever it is, the others go on.
            yield Row(name, f"{part}, to the end", kind.name, 0, 0, "FAILED", f"{error!r}")


def main() -> int:
    chosen = arguments()
    os.nice(5)  # This is no measurement, and others may need the machine.
    found: list[Row] = []
    for name in chosen.names or KINDS:
        start, rows = time.monotonic(), []
        for row in run(name, KINDS[name], chosen):
            print(f"{row.verdict:8}{name}: {row.done}; lost {row.lost}; {row.seen}", flush=True)
            rows.append(row)
        report = {
            "proxy": name,
            "server": str(chosen.server),
            "quick": chosen.quick,
            "seconds": round(time.monotonic() - start),
            "rows": [row.as_json() for row in rows],
        }
        (chosen.out / f"{name}.json").write_text(json.dumps(report, indent=2) + "\n")
        found += rows
    text = table(found, command="./dev proxies")
    (chosen.out / "report.md").write_text(text + "\n")
    print(f"\n{text}")
    return 1 if any(row.verdict == "FAILED" for row in found) else 0


if __name__ == "__main__":
    sys.exit(main())
