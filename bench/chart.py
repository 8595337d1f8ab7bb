"""Draws the results of a bench run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from lossd.plot import save_bench
from measurements import MEASUREMENTS, Result, meets_floor


def save_chart(results: Sequence[Result], machine: Mapping[str, object], path: Path) -> None:
    """Draws each ratio to the peer as a bar, and each goal as a black mark."""
    floors = {result.name: MEASUREMENTS[result.name].floor for result in results}
    save_bench(
        [result.as_json() for result in results],
        path,
        title=f"{machine['cpu']}, {machine['cores']} cores, {machine['date']}",
        goals={name: floor for name, floor in floors.items() if floor is not None},
        missed=frozenset(result.name for result in results if not meets_floor(result)),
    )
