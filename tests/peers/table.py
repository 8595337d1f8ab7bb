"""The tables of docs/coming_from.md, from the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.peers.tree_rows import MARGINS

PAGE = Path(__file__).parents[2] / "docs" / "coming_from.md"
END = "<!-- The table ends. -->"


def state(theirs: Any, exact: Any) -> str:
    """Returns how a package's number compares with the exact one."""
    theirs, exact = float(theirs), float(exact)
    if exact == 0:
        return "right" if theirs == 0 else f"{theirs:.2g} for 0"
    if not np.isfinite(theirs):
        return "NaN" if np.isnan(theirs) else "infinite"
    if theirs == 0:
        return "0"
    off = abs(theirs / exact - 1)
    if off < 1e-3:
        return "right"
    return f"{100 * off:.2g} % off" if off < 0.995 else f"{theirs:.2g} for {exact:.2g}"


def first(losses: Any) -> list[Any]:
    """Returns the loss, that of the first row, or those of the elements (-20, 0) and (20, 1)."""
    while isinstance(losses, list) and isinstance(losses[0], list):
        losses = losses[0]
        if not isinstance(losses[0], list):
            return losses[:2]
    return losses[:1] if isinstance(losses, list) else [losses]


def pairs(theirs: Any, exact: Any) -> str:
    return " / ".join(state(*pair) for pair in zip(theirs, exact, strict=True))


def gradients(answers: Any) -> str:
    """Returns the gradients of the first two elements in words."""
    if answers is None or answers["gradient"] is None:
        return "-"
    return pairs(answers["gradient"][0][:2], answers["lossd_gradient"][0][:2])


def along(theirs: list[Any], exact: list[Any]) -> str:
    """Returns up to which margin numbers are right, and what they are from some margin on."""
    states = ["not seen" if a == "nan" else state(a, b) for a, b in zip(theirs, exact, strict=True)]
    wrong = [place for place, word in enumerate(states) if word != "right"]
    if not wrong:
        return "right"
    parts = []
    last = theirs[-1]
    end = len(theirs)
    while end > 0 and theirs[end - 1] == last:
        end -= 1
    if wrong[0] < end:
        parts.append(f"off from {MARGINS[wrong[0]]:.0f}")
    if end < len(theirs) - 1:
        word = "no split" if last == "nan" else f"{last:.0e}" if last else "0"
        parts.append(f"{word} from {MARGINS[end]:.0f}")
    return ", ".join(parts)


def name_and_versions(name: str, found: Any) -> str:
    versions = ", ".join(f"{package} {version}" for package, version in found["versions"].items())
    return f"| `{name}` | {versions} "


def row_lines(rows: dict[str, Any]) -> list[str]:
    lines = [
        "| loss there | versions | difference | its loss in the tail "
        "| its gradient at (-20, 0) / (20, 1) | at (0, 0) / (0, 1) |",
        "|---|---|---|---|---|---|",
    ]
    for name, found in rows.items():
        worst = max(found["loss_difference"], found["gradient_difference"] or 0)
        tail, zero = found.get("tail"), found.get("zero")
        loss = "-" if tail is None else pairs(first(tail["loss"]), first(tail["lossd_loss"]))
        words = f"| {worst:.0e} | {loss} | {gradients(tail)} | {gradients(zero)} |"
        lines.append(name_and_versions(name, found) + words)
    return lines


def tree_lines(trees: dict[str, Any]) -> list[str]:
    lines = [
        "| objective there | versions | difference of loss / gradient / second derivative "
        "| its gradient at (x, 1) / (-x, 0) | its second derivative at x / -x |",
        "|---|---|---|---|---|",
    ]
    for name, found in trees.items():
        differences = " / ".join(
            f"{found[f'{part}_difference']:.0e}"
            for part in ("loss", "gradient", "second_derivative")
        )
        words = []
        for part in ("gradient", "second_derivative"):
            sides = found.get("tail", {}).values()
            words.append(" / ".join(along(side[part], side[f"lossd_{part}"]) for side in sides))
        cells = " | ".join(word or "-" for word in words)
        lines.append(name_and_versions(name, found) + f"| {differences} | {cells} |")
    return lines


def page(text: str, answers: dict[str, dict[str, Any]]) -> str:
    """Returns the page with the tables of the report."""
    for part, lines in (
        ("rows", row_lines(answers["rows"])),
        ("trees", tree_lines(answers["trees"])),
    ):
        begin = f"<!-- ./dev peers writes this table of {part}. -->\n"
        before, mark, rest = text.partition(begin)
        _, end, after = rest.partition(END)
        if not (mark and end):
            raise ValueError(f"{PAGE}: has no table of {part}")
        text = before + begin + "\n".join(lines) + "\n\n" + END + after
    return text


def write(answers: dict[str, dict[str, Any]]) -> None:
    PAGE.write_text(page(PAGE.read_text(), answers))
