"""Reads the demo's command line."""

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


def parse_arguments(description: str | None, arguments: Sequence[str]) -> argparse.Namespace:
    """Returns the values. If one is wrong, says so on standard error and exits with 2."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--server", type=Path, required=True, help="the lossd program")
    parser.add_argument("--out", type=Path, required=True, help="folder of the picture")
    parser.add_argument("--workers", type=count, default=4)
    parser.add_argument("--steps", type=count, default=400)
    return parser.parse_args(arguments)
