"""Draws the results of a bench run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
from measurements import MEASUREMENTS, Result, meets_floor

REACHED = "#3b7dd8"
MISSED = "#d8573b"


def save_chart(results: Sequence[Result], machine: Mapping[str, object], path: Path) -> None:
    """Draws each ratio to the peer as a bar, and each goal as a black mark."""
    figure, axes = plt.subplots(figsize=(9, 1.5 + 0.55 * len(results)))
    for row, result in enumerate(results):
        color = REACHED if meets_floor(result) else MISSED
        # Memory that shrank gets a bar of length 0, as memory that did not grow.
        axes.barh(row, max(result.ratio, 0.0), color=color)
        floor = MEASUREMENTS[result.name].floor
        if floor is not None:
            axes.plot([floor, floor], [row - 0.4, row + 0.4], color="black", linewidth=2)
    labels = [f"{result.name}   {result.ratio:.2f}" for result in results]
    axes.set_yticks(range(len(results)), labels)
    axes.invert_yaxis()
    axes.axvline(1.0, color="grey", linestyle=":")
    axes.set_xlabel("ours / peer (black: the goal; memory should stay below it)")
    axes.set_title(f"{machine['cpu']}, {machine['cores']} cores, {machine['date']}", fontsize=10)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)
