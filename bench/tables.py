"""Prints bench.json as tables, one for each instruction set: `./dev bench tables FILE...`.

Each FILE is a bench.json. Where several have a name on an instruction set,
their ratios stand beside each other. With --write=DOCUMENT the tables replace what stands there
between the lines `<!-- tables -->` and `<!-- end of tables -->`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from lossd.plot import BadFile
from results import Row, instruction_sets_of, machine_of, read_results

BEGIN, END = "<!-- tables -->", "<!-- end of tables -->"
TITLES = {"avx2": "AVX2", "avx512": "AVX-512", "": "The machine's own choice"}

Runs = Sequence[Sequence[Row]]


def number(value: float) -> str:
    """Returns a figure with three digits or more."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def ratio(row: Row) -> str:
    """Returns the ratio, bold if it misses its goal."""
    return f"**{row['ratio']:.2f}**" if row["missed"] else f"{row['ratio']:.2f}"


def table(runs: Runs, instruction_set: str) -> list[str]:
    """Returns the lines of the table for one instruction set, which has a row."""
    found: dict[str, list[Row]] = {}
    for row in (row for run in runs for row in run):
        if row["instruction_set"] == instruction_set:
            found.setdefault(row["name"], []).append(row)
    most = max(len(rows) for rows in found.values())
    again = ["again"] * (most - 1)
    lines = ["| " + " | ".join(["name", "ours", "peer", "unit", "ratio", *again, "goal"]) + " |"]
    lines.append("|---|--:|--:|---|" + "--:|" * most + "---|")
    for name, rows in found.items():
        first = rows[0]
        ratios = [ratio(row) for row in rows] + [""] * (most - len(rows))
        cells = [f"`{name}`", number(first["ours"]), number(first["peer"]), first["unit"]]
        lines.append("| " + " | ".join([*cells, *ratios, first["wanted"]]) + " |")
    return lines


def document(runs: Runs) -> str:
    """Returns the tables, each below its title and its machines."""
    rows = [row for run in runs for row in run]
    lines: list[str] = []
    for instruction_set in instruction_sets_of(rows):
        title = TITLES.get(instruction_set, instruction_set)
        machines = {machine_of(row) for row in rows if row["instruction_set"] == instruction_set}
        lines += [f"### {title}", "", "; ".join(sorted(machines)) + ".", ""]
        lines += [*table(runs, instruction_set), ""]
    return "\n".join(lines)


def replace_tables(text: str, tables: str) -> str:
    """Returns a document with new tables; raises ValueError without the two lines."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"has no lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{tables}\n{END}{after}"


def write_tables(path: Path, tables: str) -> None:
    """Replaces the tables of a document; raises BadFile if it cannot be."""
    try:
        text = path.read_text(encoding="utf-8")
        path.write_text(replace_tables(text, tables), encoding="utf-8")
    except OSError as error:
        raise BadFile(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise BadFile(f"{path}: {error}") from None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--write", type=Path, metavar="DOCUMENT")
    arguments = parser.parse_args()
    try:
        tables = document(read_results(arguments.files))
        if arguments.write is None:
            print(tables)
            return 0
        write_tables(arguments.write, tables)
    except BadFile as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
