"""The error of a part of lossd whose package is not installed."""

from __future__ import annotations


def missing(part: str, package: str, extras: str) -> ModuleNotFoundError:
    """Returns the error, which names the package and the extras that install it."""
    text = f"{part} needs {package}: pip install './client/python[{extras}]'"
    return ModuleNotFoundError(text, name=package)
