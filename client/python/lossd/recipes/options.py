"""Parts that the recipes share. Every error begins with the argument's name and has its value."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np

from lossd import arguments

Options = dict[str, Any]

# The words that most packages have, with a mean over all elements.
PLAIN: dict[Any, Options] = {
    "mean": {"reduction": "mean"},
    "sum": {"reduction": "sum"},
    "none": {"reduction": "none"},
}
WITH_BATCH: dict[Any, Options] = {
    "batchmean": {"reduction": "mean", "normalizer": "batch"},
    **PLAIN,
}


def chosen(name: str, value: Any, table: dict[Any, Options]) -> Options:
    """Returns a copy of the options that the package's word stands for.

    Raises ValueError, which names the argument and the words that there are.
    """
    if not isinstance(value, str | None) or value not in table:
        words = ", ".join(repr(word) for word in table)
        raise ValueError(f"{name}: {value!r} is none of {words}")
    return dict(table[value])


def operands(**given: tuple[str, Any]) -> Options:
    """Returns the options that are tensors, each from the package's name of it and its value.

    Those that are None are left out. Raises TypeError for what is no array of numbers.
    """
    found = {}
    for option, (name, value) in given.items():
        if value is not None:
            found[option] = operand(name, value)
    return found


def operand(name: str, value: Any) -> Any:
    """Returns a number, or an array of numbers as it is; lists become arrays."""
    if isinstance(value, str | bytes | Mapping):
        raise TypeError(f"{name}: {value!r} is neither a number nor an array of numbers")
    if hasattr(value, "__dlpack__") and not isinstance(value, np.ndarray):
        return value
    arguments.refuse_mask(name, value)
    with arguments.naming(name):
        array = np.asarray(value)
    if array.dtype.kind in "OSUcMm":
        raise TypeError(f"{name}: {value!r} is neither a number nor an array of numbers")
    return value if isinstance(value, np.ndarray | int | float) else array


def at_least_zero(name: str, value: Any) -> float:
    """Returns a finite number that is not below 0."""
    number = arguments.number(name, value)
    if not (number >= 0 and math.isfinite(number)):
        raise ValueError(f"{name}: {number:g} is not at least 0 and finite")
    return number


def finite(name: str, value: Any) -> float:
    """Returns a number that is neither NaN nor infinite."""
    number = arguments.number(name, value)
    if not math.isfinite(number):
        raise ValueError(f"{name}: {number:g} is not finite")
    return number


def fraction(name: str, value: Any) -> float:
    """Returns a number in [0, 1)."""
    number = arguments.number(name, value)
    if not 0 <= number < 1:
        raise ValueError(f"{name}: {number:g} is not at least 0 and below 1")
    return number


def share(name: str, value: Any) -> float:
    """Returns a number in [0, 1]."""
    number = arguments.number(name, value)
    if not 0 <= number <= 1:
        raise ValueError(f"{name}: {number:g} is not between 0 and 1")
    return number


def smoothed(name: str, amount: Any, prior: float | None = None) -> Options:
    """Returns the options that smooth targets by `amount`, towards 1/2 by default."""
    amount = fraction(name, amount)
    if amount == 0:
        return {}
    found: Options = {"label_smoothing": amount}
    if prior is not None:
        found["label_smoothing_prior"] = prior
    return found


def ignored(name: str, value: Any) -> Options:
    """Returns the option for targets that are ignored; None ignores none."""
    return {} if value is None else {"ignore_target": arguments.number(name, value)}


def focal(gamma: Any, alpha: Any, prefix: str = "") -> Options:
    """Returns the options of the focal loss; an alpha of None balances nothing.

    `prefix` is what the package puts before the names "gamma" and "alpha".
    """
    found: Options = {
        "kind": "sigmoid_focal",
        "focal_gamma": at_least_zero(f"{prefix}gamma", gamma),
    }
    if alpha is not None:
        found["focal_alpha"] = share(f"{prefix}alpha", alpha)
    return found


def of_channels(name: str, values: Any, spatial_dimensions: int) -> Any:
    """Returns one number for each channel in a shape that broadcasts to the logits'."""
    if values is None:
        return None
    array = np.asarray(operand(name, values))
    if array.ndim == 0:
        return array
    dimensions = arguments.at_least("spatial_dimensions", spatial_dimensions, 0)
    return array.reshape(-1, *(1,) * dimensions)


def number_of_classes(classes: int | None) -> int:
    if classes is None:
        refuse("classes", None, "the number of classes is needed here")
    return arguments.at_least("classes", classes, 1)


def logits_only(name: str, value: Any) -> None:
    """Raises ValueError unless the package is told that it gets logits."""
    if not arguments.truth(name, value):
        refuse(
            name,
            value,
            "lossd takes logits: leave out the model's last sigmoid, or send log(p) - log1p(-p)",
        )


def refuse(name: str, value: Any, reason: str) -> NoReturn:
    """Raises ValueError for a value without an equivalent."""
    raise ValueError(f"{name}: {value!r}: {reason}")
