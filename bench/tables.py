"""Prints bench.json as tables, one for each instruction set: `./dev bench tables FILE...`.

Each FILE is a bench.json of the same machine. Where several have a name on an instruction set,
their ratios stand beside each other. With --write=DOCUMENT the tables replace what stands there
between the lines `<!-- tables -->` and `<!-- end of tables -->`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from machine import INSTRUCTION_SETS

BEGIN, END = "<!-- tables -->", "<!-- end of tables -->"
TITLES = {"avx2": "AVX2", "avx512": "AVX-512", "": "The machine's own choice"}

Row = Mapping[str, Any]
Runs = Sequence[Sequence[Row]]


def number(value: float) -> str:
    """Returns a figure with three digits or more."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def ratio(row: Row) -> str:
    """Returns the ratio, bold if it misses its goal."""
    return f"**{row['ratio']:.2f}**" if row["missed"] else f"{row['ratio']:.2f}"


def table(runs: Runs, instruction_set: str) -> list[str]:
    """Returns the lines of the table for one instruction set, or none without a row."""
    found: dict[str, list[Row]] = {}
    for row in (row for run in runs for row in run):
        if row["instruction_set"] == instruction_set:
            found.setdefault(row["name"], []).append(row)
    if not found:
        return []
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
    """Returns the tables, each below its title and the machine."""
    machine = next(row for run in runs for row in run)
    where = f"{machine['cpu']}, {machine['cores']} cores, {machine['date']}."
    lines: list[str] = []
    for instruction_set in (*INSTRUCTION_SETS, ""):
        rows = table(runs, instruction_set)
        if rows:
            lines += [f"### {TITLES[instruction_set]}", "", where, "", *rows, ""]
    return "\n".join(lines)


def replace_tables(text: str, tables: str) -> str:
    """Returns a document with new tables; raises ValueError without the two lines."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"has no lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{tables}\n{END}{after}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--write", type=Path, metavar="DOCUMENT")
    arguments = parser.parse_args()
    tables = document([json.loads(path.read_text(encoding="utf-8")) for path in arguments.files])
    if arguments.write is None:
        print(tables)
        return 0
    try:
        text = replace_tables(arguments.write.read_text(encoding="utf-8"), tables)
    except ValueError as error:
        print(f"{arguments.write}: {error}", file=sys.stderr)
        return 2
    arguments.write.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
