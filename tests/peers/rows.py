"""The losses of other packages beside their recipes: what ./dev peers runs.

A row has the recipe's options and a function that asks the real package, which it imports. The
inputs are the same for every row and every run, so that the package's answers can be kept in
report.json, and lossd compared with them where the package is not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
# The losses or the loss, and the gradient of their sum by the logits, or None.
Answer = tuple[Any, Any]


def _floats(values: Any) -> Array:
    return np.array(values, np.float32)


_RANDOM = np.random.default_rng(27)
LOGITS = _floats(_RANDOM.uniform(-6, 6, (4, 3)))
HARD = _floats([[0, 1, 1], [1, 0, 0], [0, 0, 1], [1, 1, 0]])
SOFT = _floats([[0.2, 0.9, 0.5], [1, 0, 0.25], [0.75, 0.1, 1], [0.4, 0.6, 0]])
# -100 is what some packages ignore by default.
IGNORED = _floats([[0, -100, 1], [1, 0, -100], [0, 0, 1], [-100, 1, 0]])
CLASSES = np.array([1, 0, 2, 1])
ONE_HOT = _floats(np.eye(3)[CLASSES])
SQUARE = _floats(_RANDOM.uniform(-6, 6, (4, 4)))
# Well classified elements of a model that is sure of them.
TAIL_LOGITS = _floats([[-20, 20, -20], [20, -20, -20], [-20, -20, 20], [20, 20, -20]])
TAIL_TARGETS = _floats(TAIL_LOGITS > 0)
# A last layer whose weights are 0 gives these.
ZERO_LOGITS = _floats(np.zeros((4, 3)))

ROW_WEIGHTS = _floats([[0.5], [2], [0], [1.5]])
COLUMN_WEIGHTS = _floats([1, 0.5, 3])
POS_WEIGHT = _floats([3, 1, 0.25])


class Row(NamedTuple):
    name: str  # the package's own name of the loss, with the arguments that differ
    packages: tuple[str, ...]  # as pip names them
    options: dict[str, Any]  # what the recipe returns
    targets: Array
    real: Callable[[Array, Array], Answer]
    logits: Array = LOGITS
    has_tail: bool = True  # False: the row's targets cannot be those of the tail and of 0


def close(found: Any, expected: Any) -> float:
    """Returns the largest difference, as a part of the largest number that is expected."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    if found.shape != expected.shape:
        raise ValueError(f"shape {found.shape} instead of {expected.shape}")
    return float(np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-300))


def ask_lossd(client: Any, row: Row, logits: Array, targets: Array) -> Answer:
    result = client.compute_loss(logits, targets, **row.options)
    return (result.loss if result.losses is None else result.losses), result.gradient
