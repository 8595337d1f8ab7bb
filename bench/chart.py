"""Draws the results of bench runs: `./dev bench chart FILE... --out=PICTURE`.

Each FILE is a bench.json. Runs on several instruction sets give one picture, in which a name has
a bar for each set. A measurement in a later FILE replaces that of an earlier one.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from lossd.plot import BadFile, save_bench
from results import Row, machine_of, read_results


def read_rows(paths: Sequence[Path]) -> list[Row]:
    """Returns the newest row of each name and instruction set, those of a name together.

    Raises BadFile.
    """
    newest: dict[str, dict[str, Row]] = {}
    for rows in read_results(paths):
        for row in rows:
            newest.setdefault(row["name"], {})[row["instruction_set"]] = row
    return [row for by_set in newest.values() for _, row in sorted(by_set.items())]


def save_chart(rows: Sequence[Row], path: Path) -> None:
    """Draws each ratio to the peer as a bar, and each goal as a black mark."""
    machines = sorted({machine_of(row) for row in rows})
    save_bench(rows, path, title="\n".join(machines))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--out", type=Path, default=Path("build/bench/bench.png"))
    arguments = parser.parse_args()
    try:
        save_chart(read_rows(arguments.files), arguments.out)
    except BadFile as error:
        print(error, file=sys.stderr)
        return 2
    except (OSError, ValueError) as error:  # a folder that is missing, or no kind of picture
        print(f"--out={arguments.out}: {error}", file=sys.stderr)
        return 2
    print(arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
