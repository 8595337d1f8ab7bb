"""Reads files of results (bench.json), also those that older releases wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lossd.plot import BadFile, parse_bench
from machine import INSTRUCTION_SETS

Row = Mapping[str, Any]

# Earlier releases wrote rows without these.
DEFAULTS: Row = {
    "unit": "",
    "what": "",
    "instruction_set": "",
    "goal": None,
    "missed": False,
    "cpu": "an unknown processor",
    "cores": "unknown",
    "date": "an unknown date",
}


def read_results(paths: Sequence[Path]) -> list[list[Row]]:
    """Returns the rows of each file; raises BadFile, which names the file and what is wrong."""
    return [_read(path) for path in paths]


def _read(path: Path) -> list[Row]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise BadFile(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadFile(f"{path}: is no text") from None
    return [_complete(row) for row in parse_bench(text, str(path))]


def _complete(row: Row) -> Row:
    goal = row.get("goal")
    wanted = "reported" if goal is None else f">= {goal:g}"
    return {**DEFAULTS, "wanted": wanted, **row}


def machine_of(row: Row) -> str:
    """Returns the words for the machine and the day that a row belongs to."""
    return f"{row['cpu']}, {row['cores']} cores, {row['date']}"


def instruction_sets_of(rows: Sequence[Row]) -> list[str]:
    """Returns the sets of the rows: narrowest first, then those without a name here."""
    found = {row["instruction_set"] for row in rows}
    known = [name for name in INSTRUCTION_SETS if name in found]
    return [*known, *sorted(found - set(known), reverse=True)]
