"""What ./dev peers runs: rows, objectives of trees, and parameters, each as a check with a name."""

from __future__ import annotations

import functools
from collections.abc import Callable
from functools import partial
from importlib import metadata
from typing import Any, NamedTuple

import lossd
import numpy as np

from tests.peers import (
    other_rows,
    pins,
    program_rows,
    rows,
    signatures,
    torch_rows,
    tree_rows,
    vision_rows,
)
from tests.peers.program_rows import Unavailable
from tests.peers.rows import Row
from tests.peers.tree_rows import MARGINS, TreeRow

__all__ = ["TOLERANCE", "Check", "Unavailable", "all_rows", "by_name", "run", "worst"]

# Float32 arithmetic in another order. timm's eps of 1e-8 in its ASL and XGBoost's p (1 - p) are
# the largest.
TOLERANCE = 5e-6

Found = dict[str, Any]


class Check(NamedTuple):
    name: str
    part: str  # of the report: "rows", "trees" or "signatures"
    key: str  # within that part
    package: str  # the first that it asks
    run: Callable[[lossd.Client], Found]  # raises Unavailable, or what the package raises


def all_rows() -> list[Row]:
    return (
        torch_rows.all_rows()
        + vision_rows.all_rows()
        + other_rows.all_rows()
        + program_rows.all_rows()
    )


@functools.cache
def by_name() -> dict[str, Check]:
    """Returns all checks, in the order of the report."""
    checks = [
        Check(row.name, "rows", row.name, row.packages[0], partial(_of_row, row))
        for row in all_rows()
    ]
    checks += [
        Check(row.name, "trees", row.name, row.packages[0], partial(_of_tree, row))
        for row in tree_rows.all_rows()
    ]
    checks += [
        Check(
            f"arguments of {name}", "signatures", name, real.package, partial(_of_signature, name)
        )
        for name, real in signatures.REAL.items()
    ]
    return {one.name: one for one in checks}


@functools.cache
def _client(address: str) -> lossd.Client:
    return lossd.Client(address)


def run(address: str, name: str) -> Found:
    """Runs the check of this name, with the server at this address."""
    return by_name()[name].run(_client(address))


def worst(found: Found) -> float:
    """Returns the largest of the differences that a check has found."""
    differences = [value for name, value in found.items() if name.endswith("difference")]
    return max((value for value in differences if value is not None), default=0.0)


def listed(values: Any) -> Any:
    """Returns numbers as JSON has them, with None for those that are not finite."""
    if values is None:
        return None
    array = np.asarray(values, np.float64)
    if array.ndim == 0:
        return float(array) if np.isfinite(array) else repr(float(array))
    return [listed(part) for part in array]


def _versions(packages: tuple[str, ...]) -> dict[str, str]:
    pinned = pins.versions()
    return {
        name: pinned[name] if name in program_rows.LANGUAGES else metadata.version(name)
        for name in packages
    }


def _of_row(row: Row, client: lossd.Client) -> Found:
    loss, gradient = row.real(row.logits, row.targets)
    ours = rows.ask_lossd(client, row, row.logits, row.targets)
    found: Found = {
        "versions": _versions(row.packages),
        "loss": listed(loss),
        "gradient": listed(gradient),
        "loss_difference": rows.close(ours[0], loss),
        "gradient_difference": None if gradient is None else rows.close(ours[1], gradient),
    }
    if row.has_tail:
        found["tail"] = _both(client, row, rows.TAIL_LOGITS, rows.TAIL_TARGETS)
        found["zero"] = _both(client, row, rows.ZERO_LOGITS, rows.HARD)
    return found


def _both(client: lossd.Client, row: Row, logits: Any, targets: Any) -> Found:
    """Returns the package's numbers and lossd's."""
    theirs = row.real(logits, targets)
    exact = rows.ask_lossd(client, row, logits, targets)
    return {
        "loss": listed(theirs[0]),
        "gradient": listed(theirs[1]),
        "lossd_loss": listed(exact[0]),
        "lossd_gradient": listed(exact[1]),
    }


def _of_tree(row: TreeRow, client: lossd.Client) -> Found:
    theirs = row.real(rows.LOGITS, row.targets)
    exact = tree_rows.ask_lossd(client, row, rows.LOGITS, row.targets)
    found: Found = {"versions": _versions(row.packages)}
    for name, real, ours in zip(tree_rows.PARTS, theirs, exact, strict=True):
        found[name] = listed(real)
        found[f"{name}_difference"] = rows.close(ours, real)
    if row.has_tail:
        found["tail"] = {
            side: _along_margins(client, row, sign) for side, sign in (("above", 1), ("below", -1))
        }
    return found


def _along_margins(client: lossd.Client, row: TreeRow, sign: int) -> Found:
    """Returns gradients of well classified elements, and second derivatives of the others.

    Those are the same for both targets, and CatBoost's can be seen only where a gradient is not 0.
    """
    logits = sign * MARGINS
    right = np.full_like(logits, sign > 0)
    found: Found = {}
    for part, targets in (("gradient", right), ("second_derivative", 1 - right)):
        place = tree_rows.PARTS.index(part)
        found[part] = listed(row.real(logits, targets)[place])
        found[f"lossd_{part}"] = listed(tree_rows.ask_lossd(client, row, logits, targets)[place])
    return found


def _of_signature(recipe: str, _: lossd.Client) -> Found:
    real = signatures.real(recipe)
    ours = signatures.ours(recipe)
    if ours != real:
        raise ValueError(f"the recipe has {ours}, and the package {real}")
    return {"versions": _versions((signatures.REAL[recipe].package,)), "parameters": real}
