"""Parts that the recipes share."""

from __future__ import annotations

from typing import Any, NoReturn

from lossd import arguments

Options = dict[str, Any]


def chosen(name: str, value: Any, table: dict[Any, Options]) -> Options:
    """Returns a copy of the options that the package's word stands for.

    Raises ValueError, which names the argument and the words that there are.
    """
    if value not in table:
        words = ", ".join(repr(word) for word in table)
        raise ValueError(f"{name}: {value!r} is none of {words}")
    return dict(table[value])


# The words that most packages have, with a mean over all elements.
PLAIN: dict[Any, Options] = {
    "mean": {"reduction": "mean"},
    "sum": {"reduction": "sum"},
    "none": {"reduction": "none"},
}


def tensors(weights: Any = None, pos_weight: Any = None) -> Options:
    """Returns those of the two that are not None."""
    given = {"weights": weights, "pos_weight": pos_weight}
    return {name: value for name, value in given.items() if value is not None}


def smoothed(amount: Any, prior: float | None = None) -> Options:
    """Returns the options that smooth targets by `amount`, towards 1/2 by default."""
    amount = arguments.number("label_smoothing", amount)
    if amount == 0:
        return {}
    found: Options = {"label_smoothing": amount}
    if prior is not None:
        found["label_smoothing_prior"] = prior
    return found


def focal(gamma: Any, alpha: Any) -> Options:
    """Returns the options of the focal loss; an alpha of None balances nothing."""
    found: Options = {"kind": "sigmoid_focal", "focal_gamma": arguments.number("gamma", gamma)}
    if alpha is not None:
        found["focal_alpha"] = arguments.number("alpha", alpha)
    return found


def refuse(name: str, reason: str) -> NoReturn:
    """Raises ValueError for an argument without an equivalent."""
    raise ValueError(f"{name}: {reason}")
