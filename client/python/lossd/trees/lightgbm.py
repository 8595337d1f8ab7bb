"""An objective for LightGBM, which refuses parameters that it would leave without an effect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lossd.trees.boosting import Objective
from lossd.trees.derivatives import Array

# Parameters that LightGBM's own objectives apply, with the values that change nothing, and the way
# round.
_OFF = ("false", "-", "0", "none")
_ONE = ("1", "1.0", "none")
_POSITIVE = "give lightgbm_objective(pos_weight=...)"
_OWN = {
    "scale_pos_weight": (_ONE, _POSITIVE),
    "is_unbalance": (_OFF, _POSITIVE),
    "unbalance": (_OFF, _POSITIVE),
    "unbalanced_sets": (_OFF, _POSITIVE),
    "sigmoid": (_ONE, "leave it out"),
}


class LightGBMObjective(Objective):
    """Returns gradient and second derivative for each row."""

    def __call__(self, first: Any, second: Any, sample_weight: Any = None) -> tuple[Array, Array]:
        # lightgbm.train() and cv() write their parameters into the data set.
        with self._loss.translated():
            _check(getattr(second, "params", None) or {})
        return super().__call__(first, second, sample_weight)


def _check(parameters: Mapping[str, Any]) -> None:
    """Raises ValueError for a parameter that has no effect with a custom objective."""
    for name, (neutral, way) in _OWN.items():
        value = parameters.get(name)
        if str(value).lower() not in neutral:
            raise ValueError(f"{name}: {value!r} has no effect with a custom objective; {way}")
