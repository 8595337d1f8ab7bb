"""An objective and a metric for CatBoost, which finds them by the names of their methods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lossd.trees.derivatives import Array, TreeLoss, minimum_hessian_of


class CatBoostObjective:
    """Returns derivatives of the likelihood, which are those of the loss with the other sign."""

    def __init__(self, loss: TreeLoss, minimum_hessian: float) -> None:
        self._loss = loss
        self._minimum_hessian = minimum_hessian_of(minimum_hessian)

    def calc_ders_range(
        self, approxes: Sequence[float], targets: Sequence[float], weights: Sequence[float] | None
    ) -> list[tuple[float, float]]:
        """Returns both derivatives of each row; CatBoost calls it from several threads."""
        gradient, second = self._loss.derivatives(
            _array(approxes), _array(targets), _weights(weights), self._minimum_hessian
        )
        return list(zip((-gradient).tolist(), (-second).tolist(), strict=True))


class CatBoostMetric:
    """The mean loss of the rows, by their weights."""

    def __init__(self, loss: TreeLoss) -> None:
        self._loss = loss

    def is_max_optimal(self) -> bool:
        return False

    def evaluate(
        self, approxes: Sequence[Any], target: Sequence[float], weight: Sequence[float] | None
    ) -> tuple[float, float]:
        """Returns the sum of losses and the sum of weights."""
        return self._loss.total(_array(approxes[0]), _array(target), _weights(weight))

    def get_final_error(self, error: float, weight: float) -> float:
        return error / weight if weight > 0 else 0.0


def _array(values: Sequence[float]) -> Array:
    return np.fromiter(values, np.float64, len(values))


def _weights(values: Sequence[float] | None) -> Array | None:
    return None if values is None else _array(values)
