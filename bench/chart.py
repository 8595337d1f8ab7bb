"""Draws the results of bench runs: `./dev bench chart FILE... --out=PICTURE`.

Each FILE is a bench.json. Runs on several instruction sets give one picture, in which a name has
a bar for each set. A measurement in a later FILE replaces that of an earlier one.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lossd.plot import save_bench

Row = Mapping[str, Any]


def read_rows(paths: Sequence[Path]) -> list[Row]:
    """Returns the newest row of each name and instruction set, those of a name together."""
    newest: dict[str, dict[str, Row]] = {}
    for path in paths:
        for row in json.loads(path.read_text(encoding="utf-8")):
            newest.setdefault(row["name"], {})[row.get("instruction_set", "")] = row
    return [row for rows in newest.values() for _, row in sorted(rows.items())]


def save_chart(rows: Sequence[Row], path: Path) -> None:
    """Draws each ratio to the peer as a bar, and each goal as a black mark."""
    machines = {f"{row['cpu']}, {row['cores']} cores, {row['date']}" for row in rows}
    save_bench(rows, path, title="\n".join(sorted(machines)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--out", type=Path, default=Path("build/bench/bench.png"))
    arguments = parser.parse_args()
    save_chart(read_rows(arguments.files), arguments.out)
    print(arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
