"""Checks of what callers pass; the message of every error begins with the argument's name."""

from __future__ import annotations

import contextlib
import difflib
import ipaddress
import math
import operator
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np

from lossd.v1 import loss_spec_pb2

# Types that float() accepts, or that have __float__, and that are not real numbers.
_NO_NUMBERS = (bool, str, bytes, complex, np.bool_, np.character, np.complexfloating)

# gRPC counts nanoseconds since 1970 in 63 bits, which end in the year 2262, and takes a later
# deadline as passed. A timeout of more than 31 years therefore means no deadline.
_LONGEST_SECONDS = 1e9

# The kind of loss to which each parameter belongs.
_PARAMETERS = {
    "focal_gamma": "sigmoid_focal",
    "focal_alpha": "sigmoid_focal",
    "asymmetric_gamma_positive": "asymmetric",
    "asymmetric_gamma_negative": "asymmetric",
    "asymmetric_margin": "asymmetric",
}


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


def seconds(name: str, value: Any) -> float | None:
    """Returns a timeout in seconds; None, or more than 31 years, means no deadline."""
    if value is None:
        return None
    time = number(name, value)
    if math.isnan(time):
        raise ValueError(f"{name}: NaN is no time")
    return time if time <= _LONGEST_SECONDS else None


def target(name: str, value: Any) -> str:
    """Returns a server's address.

    Raises ValueError for a URL, and for an address without a port, for which gRPC would take 443.
    """
    where = text(name, value)
    port = where.rpartition(":")[2]
    if where.startswith(("http:", "https:", "grpc:", "grpcs:", "tcp:")):
        raise ValueError(f"{name}: {where!r} is a URL; give HOST:PORT or unix:/path")
    if port in ("", where) or where.endswith("]") or _begins_with_ipv6(where):
        raise ValueError(
            f"{name}: {where!r} has no port; give HOST:PORT, [IPv6]:PORT or unix:/path"
        )
    return where


def _begins_with_ipv6(where: str) -> bool:
    """Returns whether an address is IPv6 without brackets, with a port or without one."""
    for host in (where, where.rpartition(":")[0]):
        with contextlib.suppress(ValueError):
            ipaddress.IPv6Address(host)
            return True
    return False


def known(names: Collection[str], given: Collection[str]) -> None:
    """Raises TypeError if a given name is none of the `names` that compute_loss() takes."""
    for name in given:
        if name not in names:
            alike = difflib.get_close_matches(name, names, n=1)
            hint = f"; is it {alike[0]}?" if alike else ""
            raise TypeError(f"{name}: compute_loss() has no such argument{hint}")


def check_parameters(spec: loss_spec_pb2.LossSpec) -> None:
    """Raises ValueError if an option is set that the kind, reduction or normalizer does not read.

    The server refuses it too, but an older one ignored it.
    """
    kind = loss_spec_pb2.LossKind.Name(spec.kind).removeprefix("LOSS_KIND_").lower()
    for field, _ in spec.ListFields():  # only fields that are present or not 0
        owner = _PARAMETERS.get(field.name, kind)
        if owner != kind:
            raise _unread(field.name, "kind", owner, kind)
    if spec.normalizer and spec.reduction != loss_spec_pb2.REDUCTION_MEAN:
        reduction = loss_spec_pb2.Reduction.Name(spec.reduction).removeprefix("REDUCTION_")
        raise _unread("normalizer", "reduction", "mean", reduction.lower())
    if spec.normalizer_value and spec.normalizer != loss_spec_pb2.NORMALIZER_CALLER:
        chosen = spec.normalizer or loss_spec_pb2.NORMALIZER_ELEMENTS
        normalizer = loss_spec_pb2.Normalizer.Name(chosen).removeprefix("NORMALIZER_")
        raise _unread("normalizer_value", "normalizer", "caller", normalizer.lower())


def _unread(name: str, option: str, reader: str, chosen: str) -> ValueError:
    return ValueError(
        f"{name}: is for {option} {reader}, and the {option} is {chosen}, which would ignore it"
    )
