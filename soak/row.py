"""Rows of the report, and the table that they make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

Verdict = Literal["passed", "FAILED", "not run"]
COLUMNS = ("what was done", "counterpart", "times", "lost", "verdict", "seen", "printed by")


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


def table(rows: Sequence[Row]) -> str:
    """Returns the rows as a table in Markdown."""
    cells = [
        (
            r.done,
            r.counterpart,
            f"{r.times:,}",
            f"{r.lost:,}",
            r.verdict,
            r.seen,
            f"`./dev soak {r.scenario}`",
        )
        for r in rows
    ]
    lines = ["| " + " | ".join(COLUMNS) + " |", "|---|---|--:|--:|---|---|---|"]
    # A bar would end a cell, and a line break the table.
    lines += [
        "| " + " | ".join(" ".join(cell.replace("|", "/").split()) for cell in line) + " |"
        for line in cells
    ]
    return "\n".join(lines)
