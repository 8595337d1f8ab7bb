"""The table of docs/coming_from.md, from the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

PAGE = Path(__file__).parents[2] / "docs" / "coming_from.md"
BEGIN, END = "<!-- ./dev peers writes this table. -->\n", "<!-- The table ends. -->"


def state(theirs: Any, exact: Any) -> str:
    """Returns how a package's number compares with the exact one."""
    if exact == 0:
        return "right" if theirs == 0 else f"{theirs:.2g} for 0"
    if np.isnan(theirs):
        return "NaN"
    if theirs == 0:
        return "0"
    off = abs(theirs / exact - 1)
    return "right" if off < 1e-3 else f"{100 * off:.2g} % off"


def first(losses: Any) -> list[Any]:
    """Returns the loss, that of the first row, or those of the elements (-20, 0) and (20, 1)."""
    return np.atleast_2d(losses)[0][: 1 + (np.ndim(losses) > 1)].tolist()


def tail_words(tail: dict[str, Any]) -> str:
    """Returns the loss and both gradients of elements at (-20, 0) and (20, 1) in words."""
    pairs = zip(first(tail["loss"]), first(tail["lossd_loss"]), strict=True)
    words = [" / ".join(state(*pair) for pair in pairs)]
    if tail["gradient"] is None:
        words.append("-")
    else:
        pairs = zip(tail["gradient"][0][:2], tail["lossd_gradient"][0][:2], strict=True)
        words.append(" / ".join(state(*pair) for pair in pairs))
    return " | ".join(words)


def write_table(report: dict[str, Any]) -> None:
    lines = [
        "| loss there | versions | difference | its loss in the tail "
        "| its gradient at (-20, 0) / (20, 1) |",
        "|---|---|---|---|---|",
    ]
    for name, row in report.items():
        versions = ", ".join(f"{package} {version}" for package, version in row["versions"].items())
        worst = max(row["loss_difference"], row["gradient_difference"] or 0)
        words = tail_words(row["tail"]) if "tail" in row else "- | -"
        lines.append(f"| `{name}` | {versions} | {worst:.0e} | {words} |")
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(before + BEGIN + "\n".join(lines) + "\n\n" + END + after)
