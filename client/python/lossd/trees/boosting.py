"""Objectives and metrics in the form that XGBoost and LightGBM share.

Both call them with raw predictions and the data set or, from their estimators in scikit-learn's
style, with labels, raw predictions and weights.
"""

from __future__ import annotations

from typing import Any

from lossd.trees.derivatives import Array, TreeLoss, minimum_hessian_of


class Objective:
    """Returns gradient and second derivative for each row."""

    def __init__(self, loss: TreeLoss, minimum_hessian: float) -> None:
        self._loss = loss
        self._minimum_hessian = minimum_hessian_of(minimum_hessian)
        self.__name__ = "lossd"

    # Both packages look for a third parameter, and XGBoost for this name.
    def __call__(self, first: Any, second: Any, sample_weight: Any = None) -> tuple[Array, Array]:
        return self._derivatives(*_parts(first, second, sample_weight))

    def _derivatives(self, raw: Any, labels: Any, weights: Any) -> tuple[Array, Array]:
        return self._loss.derivatives(raw, labels, weights, self._minimum_hessian)


class Metric:
    """Returns the mean loss of the rows, by their weights."""

    def __init__(self, loss: TreeLoss, says_direction: bool) -> None:
        """LightGBM wants to be told that higher values are not better; XGBoost does not."""
        self._loss = loss
        self._says_direction = says_direction
        self.__name__ = "lossd"

    def __call__(self, first: Any, second: Any, sample_weight: Any = None) -> Any:
        raw, labels, weights = _parts(first, second, sample_weight)
        total, weight = self._loss.total(raw, labels, weights)
        mean = total / weight if weight > 0 else 0.0
        if self._says_direction:
            return self.__name__, mean, False
        return (self.__name__, mean) if _is_data(second) else mean


def _is_data(value: Any) -> bool:
    return hasattr(value, "get_label")


def _parts(first: Any, second: Any, sample_weight: Any) -> tuple[Any, Any, Any]:
    """Returns raw predictions, labels and weights from either form of arguments."""
    if _is_data(second):
        return first, second.get_label(), second.get_weight()
    return second, first, sample_weight
