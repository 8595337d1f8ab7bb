"""Draws the loss curves of the PyTorch examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402


def save_curve(losses: Mapping[str, Sequence[float]], path: Path) -> None:
    """Writes one curve for each name; OSError if `path` cannot be written."""
    figure, axes = plt.subplots(figsize=(7, 4))
    for name, values in losses.items():
        axes.plot(values, label=name)
    axes.set_yscale("log")
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)
