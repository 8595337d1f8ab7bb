"""Writes the loss curves of the examples, as a picture and as numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from lossd.plot import save_curves, write_csv


def save_curve(losses: Mapping[str, Sequence[float]], path: Path) -> None:
    """Draws one curve for each name; OSError if `path` cannot be written.

    The numbers go into a CSV file beside the picture, which `python -m lossd.plot` draws again.
    """
    write_csv(losses, path.with_suffix(".csv"))
    save_curves(losses, path)
