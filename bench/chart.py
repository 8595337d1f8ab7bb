"""Draws the results of a bench run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from lossd.plot import save_bench
from measurement import Result
from measurements import MEASUREMENTS


def save_chart(results: Sequence[Result], machine: Mapping[str, object], path: Path) -> None:
    """Draws each ratio to the peer as a bar, and each goal as a black mark."""
    measured = {result.name: MEASUREMENTS[result.name] for result in results}
    goals = {
        name: one.floor if one.floor is not None else one.ceiling for name, one in measured.items()
    }
    save_bench(
        [result.as_json() for result in results],
        path,
        title=f"{machine['cpu']}, {machine['cores']} cores, {machine['date']}",
        goals={name: goal for name, goal in goals.items() if goal is not None},
        missed=frozenset(
            result.name for result in results if not measured[result.name].is_met_by(result)
        ),
    )
