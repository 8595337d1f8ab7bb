"""The options of a loss as one text, because an operator of PyTorch takes no mapping."""

from __future__ import annotations

import ast
import functools
from typing import Any, NamedTuple

# These say how a call is made and what its targets are, and are not in the LossSpec.
_TIMEOUT, _DIAGONAL = "timeout", "diagonal"


class Options(NamedTuple):
    """What an operator makes of the text."""

    of_loss: dict[str, Any]  # options of compute_loss()
    timeout: float | None
    diagonal: int | None  # of identity targets; None: the targets are a tensor


def encode(options: dict[str, Any]) -> str:
    """Returns a line for each option that is not None. torch.compile() can trace this."""
    return "\n".join([f"{name}={value!r}" for name, value in options.items() if value is not None])


@functools.lru_cache(maxsize=256)
def decode(text: str) -> Options:
    """Returns the options of encode(); the caller must not change them."""
    pairs = (line.partition("=") for line in text.split("\n") if line)
    options = {name: _value(value) for name, _, value in pairs}
    return Options(options, options.pop(_TIMEOUT, None), options.pop(_DIAGONAL, None))


def shown(text: str, **more: Any) -> str:
    """Returns the options, and `more`, as the text of a module shows them."""
    given = {**decode(text).of_loss, **more}
    return ", ".join(f"{name}={value!r}" for name, value in given.items())


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except ValueError:  # nan and inf are no literals
        return float(text)
