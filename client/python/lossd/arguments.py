"""What callers give, checked before it is sent: every error begins with the argument's name."""

from __future__ import annotations

import contextlib
import difflib
import math
import operator
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np

from lossd.v1 import loss_spec_pb2

# What float() would take, or a NumPy scalar says it could.
_NO_NUMBERS = (bool, str, bytes, complex, np.bool_, np.character, np.complexfloating)

# gRPC counts nanoseconds since 1970 in 63 bits, which end in the year 2262: a deadline
# after that has passed already. What is longer than this, 31 years, has no deadline.
_LONGEST_SECONDS = 1e9

# Which kind of loss has them.
_PARAMETERS = {
    "focal_gamma": "sigmoid_focal",
    "focal_alpha": "sigmoid_focal",
    "asymmetric_gamma_positive": "asymmetric",
    "asymmetric_gamma_negative": "asymmetric",
    "asymmetric_margin": "asymmetric",
}


@contextlib.contextmanager
def naming(name: str) -> Iterator[None]:
    """Puts the argument's name before what NumPy or PyTorch says is wrong with it."""
    try:
        yield
    except (TypeError, RuntimeError) as error:
        raise TypeError(f"{name}: {error}") from error
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{name}: {error}") from error


def refuse_mask(name: str, array: Any) -> None:
    """TypeError for masked arrays, also in lists: NumPy would drop their masks in silence."""
    if isinstance(array, list | tuple):
        for part in array:
            refuse_mask(name, part)
    elif np.ma.isMaskedArray(array):
        raise TypeError(f"{name}: the mask of a masked array would be lost; use ignore_target")


def number(name: str, value: Any) -> float:
    """A real number, or an array or tensor of rank 0."""
    if type(value) is float:  # most are defaults
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
    """An integer of 64 bits."""
    if isinstance(value, bool) or not hasattr(type(value), "__index__"):
        raise TypeError(f"{name}: {value!r} is not an integer")
    with naming(name):
        whole = operator.index(value)
    if not -(1 << 63) <= whole < 1 << 63:
        raise ValueError(f"{name}: {whole} does not fit 64 bits")
    return whole


def shape(name: str, value: Any) -> tuple[int, ...]:
    """The dimensions of an array: an integer, or several."""
    dimensions = tuple(value) if isinstance(value, tuple | list) else (value,)
    sizes = tuple(integer(name, size) for size in dimensions)
    if min(sizes, default=0) < 0:
        raise ValueError(f"{name}: {value} has a dimension below 0")
    return sizes


def numbers(name: str, value: Any) -> np.dtype[Any]:
    """The type of an array of numbers; not of objects, which other processes cannot have."""
    with naming(name):
        kind: np.dtype[Any] = np.dtype(value)
    if kind.hasobject:
        raise TypeError(f"{name}: {kind} is no type of numbers")
    return kind


def truth(name: str, value: Any) -> bool:
    """True or False, or 1 or 0; nothing else that Python takes for one: "no" would be true."""
    if not isinstance(value, int | np.bool_) or value not in (0, 1):
        raise TypeError(f"{name}: {value!r} is neither True nor False")
    return bool(value)


def text(name: str, value: Any) -> str:
    """A string that UTF-8 can hold."""
    if not isinstance(value, str):
        raise TypeError(f"{name}: {value!r} is not a string")
    with naming(name):
        value.encode()
    return value


def token(name: str, value: Any) -> str:
    """What a header can carry. It is a secret: no message shows it."""
    bearer = text(name, value)
    for place, character in enumerate(bearer):
        if not " " <= character <= "~":
            raise ValueError(
                f"{name}: character {place} is {character!r}, "
                "and a token is one line of printable ASCII"
            )
    return bearer


def seconds(name: str, value: Any) -> float | None:
    """A time; None, as long as it takes, also for one that nobody lives to see the end of."""
    if value is None:
        return None
    time = number(name, value)
    if math.isnan(time):
        raise ValueError(f"{name}: NaN is no time")
    return time if time <= _LONGEST_SECONDS else None


def target(name: str, value: Any) -> str:
    """Where a server is. gRPC would take port 443 for a host without one."""
    where = text(name, value)
    if where.rpartition(":")[2] in ("", where) or where.endswith("]"):
        raise ValueError(f"{name}: {where!r} has no port; give HOST:PORT or unix:/path")
    return where


def known(names: Collection[str], given: Collection[str]) -> None:
    """TypeError for a name that is given and is none of those that compute_loss() has."""
    for name in given:
        if name not in names:
            alike = difflib.get_close_matches(name, names, n=1)
            hint = f"; is it {alike[0]}?" if alike else ""
            raise TypeError(f"{name}: compute_loss() has no such argument{hint}")


def check_parameters(spec: loss_spec_pb2.LossSpec) -> None:
    """ValueError for one that is set although the kind has it not: the server ignores it."""
    kind = loss_spec_pb2.LossKind.Name(spec.kind).removeprefix("LOSS_KIND_").lower()
    for field, _ in spec.ListFields():  # those that are present, or not 0
        owner = _PARAMETERS.get(field.name, kind)
        if owner != kind:
            raise ValueError(
                f"{field.name}: is for kind {owner}, and the kind is {kind}, which would ignore it"
            )
