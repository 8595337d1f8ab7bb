"""Rows of the report, and the table that they make."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

Verdict = Literal["passed", "FAILED", "not run"]
COLUMNS = ("what was done", "counterpart", "times", "lost", "verdict", "seen", "printed by")
ALIGNMENTS = ("---", "---", "--:", "--:", "---", "---", "---")
BEFORE = 4  # the column that shows another build, after "lost"


@dataclass(frozen=True)
class Row:
    """One thing that was done to a server, and what came of it.

    `lost` counts what the counterpart was promised and did not get: calls, scrapes,
    handshakes, streams, or permits. `seen` holds other counts and the measured times.
    """

    scenario: str
    done: str
    counterpart: str
    times: int
    lost: int
    verdict: Verdict
    seen: str = ""

    def as_json(self) -> dict[str, object]:
        return asdict(self)


def judged(
    scenario: str,
    done: str,
    counterpart: str,
    *,
    times: int,
    lost: int,
    seen: str = "",
    broken: str = "",
) -> Row:
    """Returns a row that passed if nothing was lost and nothing else was `broken`.

    Nothing is proved by something done no times, so such a row has failed as well.
    """
    passed = times > 0 and lost == 0 and not broken
    notes = "; ".join(note for note in (broken, seen) if note)
    verdict: Verdict = "passed" if passed else "FAILED"
    return Row(scenario, done, counterpart, times, lost, verdict, notes)


def not_run(scenario: str, done: str, counterpart: str, reason: str) -> Row:
    return Row(scenario, done, counterpart, 0, 0, "not run", reason)


def rows_in(folder: Path) -> list[Row]:
    """Returns the rows of the reports that a run has left in the folder."""
    reports = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    return [Row(**row) for report in reports for row in report["rows"]]


def table(rows: Sequence[Row], before: Sequence[Row] = (), command: str = "./dev soak") -> str:
    """Returns the rows as a table in Markdown; `command` prints that of one scenario.

    With `before`, the rows of another build, a column says what that lost.
    """
    columns, alignments = list(COLUMNS), list(ALIGNMENTS)
    if before:
        columns.insert(BEFORE, "before")
        alignments.insert(BEFORE, "--:")
    lines = [columns, alignments]
    for row in rows:
        cells = [
            row.done,
            row.counterpart,
            f"{row.times:,}",
            f"{row.lost:,}",
            row.verdict,
            row.seen,
            f"`{command} {row.scenario}`",
        ]
        if before:
            cells.insert(BEFORE, losses(row, before))
        # A bar would end a cell, and a line break the table.
        lines.append([" ".join(cell.replace("|", "/").split()) for cell in cells])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def losses(row: Row, before: Sequence[Row]) -> str:
    """Returns what another build lost where this row was made: "7 in 50", or nothing."""
    key = (row.scenario, row.done, row.counterpart)
    for other in before:
        if (other.scenario, other.done, other.counterpart) == key:
            return f"{other.lost:,} in {other.times:,}"
    return ""
