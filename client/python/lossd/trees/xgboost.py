"""An objective for XGBoost, which warns of a start from which nothing is learned."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from lossd.trees.boosting import Objective
from lossd.trees.derivatives import Array, TreeLoss

# XGBoost clamps a base_score that is a probability to [1e-6, 1 - 1e-6], in float32.
_LEAST = np.float32(1e-6)

# The labels' mean, and that of their complements, may be so small where such a start is meant.
_RARE = 1e-4

_WARNING = (
    "lossd: every raw prediction starts at {start:.4f}, from which nothing is learned: XGBoost has "
    "read base_score={score} as a probability, because params name an objective such as "
    "binary:logistic beside obj=; give base_score=0.5, or the labels' mean"
)


class XGBoostObjective(Objective):
    """Returns gradient and second derivative for each row."""

    def __init__(self, loss: TreeLoss, minimum_hessian: float) -> None:
        super().__init__(loss, minimum_hessian)
        self._is_clamped = False

    def _derivatives(self, raw: Any, labels: Any, weights: Any) -> tuple[Array, Array]:
        derivatives = super()._derivatives(raw, labels, weights)
        score = _clamped_score(np.asarray(raw))
        is_clamped = score is not None and not _is_rare(score, np.asarray(labels))
        if is_clamped and not self._is_clamped:
            text = _WARNING.format(start=float(np.ravel(raw)[0]), score=score)
            warnings.warn(text, RuntimeWarning, stacklevel=3)
        self._is_clamped = is_clamped
        return derivatives


def _clamped_score(raw: Array) -> int | None:
    """Returns the base_score, 0 or 1, at whose clamped logit all raw predictions are, or None."""
    if raw.size == 0:
        return None
    first = raw.flat[0]
    for score, probability in ((0, _LEAST), (1, np.float32(1) - _LEAST)):
        logit = -np.log(1 / probability - 1)  # in float32, which XGBoost's own rounding is too
        if abs(first - logit) < 1e-3 and (raw == first).all():
            return score
    return None


def _is_rare(score: int, labels: Array) -> bool:
    """Returns whether labels other than `score` are so rare that training may well start there."""
    return float(np.abs(np.clip(labels, 0, 1) - score).mean()) < _RARE
