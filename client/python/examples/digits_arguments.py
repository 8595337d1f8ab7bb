"""Reads the command line of an example."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path


def count(text: str) -> int:
    """Reads a whole number from 1 on. argparse names the argument and the text of another."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {number}")
    return number


def parse_arguments(
    description: str | None, arguments: Sequence[str], steps: int, workers: int | None = None
) -> argparse.Namespace:
    """Returns the values. If one is wrong, says so on standard error and exits with 2.

    `steps` and `workers` are defaults. With None there is no --workers.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--server", type=Path, required=True, help="the lossd program")
    parser.add_argument("--out", type=Path, required=True, help="folder of the picture")
    parser.add_argument("--steps", type=count, default=steps)
    if workers is not None:
        parser.add_argument("--workers", type=count, default=workers)
    return parser.parse_args(arguments)


def make_folder(path: Path) -> None:
    """Makes the folder of --out. Raises SystemExit, with the reason, if that cannot be done.

    An example calls it before its training, which may take minutes.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SystemExit(f"--out={path}: {error.strerror}") from error
