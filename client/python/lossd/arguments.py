"""Checks of what callers pass; the message of every error begins with the argument's name."""

from __future__ import annotations

import contextlib
import difflib
import math
import operator
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np

# Types that float() accepts, or that have __float__, and that are not real numbers.
_NO_NUMBERS = (bool, str, bytes, complex, np.bool_, np.character, np.complexfloating)

# gRPC counts nanoseconds since 1970 in 63 bits, which end in the year 2262, and takes a later
# deadline as passed. A timeout of more than 31 years therefore means no deadline.
_LONGEST_SECONDS = 1e9

# The seconds that a call of a training step may take by default in the modules for frameworks.
# Without a limit a server that does not answer would hang the training instead of ending it.
STEP_TIMEOUT_SECONDS = 60.0

# A server refuses a longer name of a training job.
MAX_JOB_CHARACTERS = 64


@contextlib.contextmanager
def naming(name: str) -> Iterator[None]:
    """Puts the argument's name before the message of an error of NumPy or PyTorch."""
    try:
        yield
    except (TypeError, RuntimeError) as error:
        raise TypeError(f"{name}: {error}") from error
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{name}: {error}") from error


def refuse_mask(name: str, array: Any) -> None:
    """Raises TypeError for a masked array, also within lists; NumPy would lose the mask."""
    if isinstance(array, list | tuple):
        for part in array:
            refuse_mask(name, part)
    elif np.ma.isMaskedArray(array):
        raise TypeError(f"{name}: the mask of a masked array would be lost; use ignore_target")


def number(name: str, value: Any) -> float:
    """Returns the value of a real number, or of an array or tensor of rank 0."""
    if type(value) is float:  # the fast way, which defaults take
        return value
    refuse_mask(name, value)
    if (
        isinstance(value, _NO_NUMBERS)
        or not hasattr(type(value), "__float__")
        or getattr(value, "ndim", 0) != 0
    ):
        raise TypeError(f"{name}: {value!r} is not a number")
    with naming(name):
        return float(value)


def integer(name: str, value: Any) -> int:
    """Returns a signed integer of at most 64 bits."""
    if isinstance(value, bool) or not hasattr(type(value), "__index__"):
        raise TypeError(f"{name}: {value!r} is not an integer")
    with naming(name):
        whole = operator.index(value)
    if not -(1 << 63) <= whole < 1 << 63:
        raise ValueError(f"{name}: {whole} does not fit 64 bits")
    return whole


def shape(name: str, value: Any) -> tuple[int, ...]:
    """Returns the dimensions of an array from one integer or a sequence of them."""
    dimensions = tuple(value) if isinstance(value, tuple | list) else (value,)
    sizes = tuple(integer(name, size) for size in dimensions)
    if min(sizes, default=0) < 0:
        raise ValueError(f"{name}: {value} has a dimension below 0")
    return sizes


def numbers(name: str, value: Any) -> np.dtype[Any]:
    """Returns the dtype; TypeError for Python objects, which other processes cannot read."""
    with naming(name):
        kind: np.dtype[Any] = np.dtype(value)
    if kind.hasobject:
        raise TypeError(f"{name}: {kind} is no type of numbers")
    return kind


def at_least(name: str, value: Any, least: int) -> int:
    """Returns an integer that is not below `least`."""
    whole = integer(name, value)
    if whole < least:
        raise ValueError(f"{name}: {whole} is below {least}")
    return whole


def channel_options(name: str, value: Any) -> dict[str, int | str | bytes]:
    """Returns options of a gRPC channel from a mapping of their names to integers or texts."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{name}: {value!r} is not a mapping of names to integers or texts")
    for key, setting in value.items():
        if not isinstance(key, str):
            raise TypeError(f"{name}: {key!r} is not a string")
        if isinstance(setting, bool) or not isinstance(setting, int | str | bytes):
            raise TypeError(f"{name}: {setting!r} of {key!r} is neither an integer nor a text")
        if isinstance(setting, int) and not -(1 << 31) <= setting < 1 << 31:
            raise ValueError(f"{name}: {setting} of {key!r} does not fit 32 bits")
    return dict(value)


def truth(name: str, value: Any) -> bool:
    """Returns a truth value from True, False, 1 or 0; TypeError for anything else, such as "no"."""
    if not isinstance(value, int | np.bool_) or value not in (0, 1):
        raise TypeError(f"{name}: {value!r} is neither True nor False")
    return bool(value)


def text(name: str, value: Any) -> str:
    """Returns a string; ValueError if UTF-8 cannot encode it."""
    if not isinstance(value, str):
        raise TypeError(f"{name}: {value!r} is not a string")
    with naming(name):
        value.encode()
    return value


def token(name: str, value: Any) -> str:
    """Returns a token that a header can carry; no message shows more than its one bad character."""
    bearer = text(name, value)
    for place, character in enumerate(bearer):
        if not " " <= character <= "~":
            raise ValueError(
                f"{name}: character {place} is {character!r}, "
                "and a token is one line of printable ASCII"
            )
    return bearer


def job(name: str, value: Any) -> str:
    """Returns the name of a training job that a header and the server's metrics can carry."""
    given = text(name, value)
    if not 0 < len(given) <= MAX_JOB_CHARACTERS:
        raise ValueError(
            f"{name}: {given!r} has {len(given)} characters, and may have 1 to {MAX_JOB_CHARACTERS}"
        )
    for place, character in enumerate(given):
        if not " " <= character <= "~":
            raise ValueError(
                f"{name}: character {place} of {given!r} is not a printable character of ASCII"
            )
    return given


def seconds(name: str, value: Any) -> float | None:
    """Returns a timeout above 0 in seconds; None, or more than 31 years, means no deadline."""
    if value is None:
        return None
    time = number(name, value)
    if math.isnan(time):
        raise ValueError(f"{name}: NaN is no time")
    if time <= 0:
        raise ValueError(f"{name}: {time:g} seconds is no time to wait; None waits for ever")
    return time if time <= _LONGEST_SECONDS else None


def known(names: Collection[str], given: Collection[str]) -> None:
    """Raises TypeError if a given name is none of the `names` that compute_loss() takes."""
    for name in given:
        if name not in names:
            alike = difflib.get_close_matches(name, names, n=1)
            hint = f"; is it {alike[0]}?" if alike else ""
            raise TypeError(f"{name}: compute_loss() has no such argument{hint}")
