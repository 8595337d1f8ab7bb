"""Tries the image and deploy/compose.yaml with a real Docker engine, and prints a table.

    python -m tools.docker [--image-is-built]      ./dev docker installs what it needs

The table is for docs/docker.md. It ends with 1 if something is not as it should be.
"""

from __future__ import annotations

import argparse
import functools
import subprocess
import sys
import time
from collections.abc import Callable

from tools.docker import checks, compose
from tools.docker.engine import engine, version


def take(check: Callable[[], str], what: str) -> bool:
    """Makes a check and prints its row. Returns whether it passed."""
    start = time.monotonic()
    try:
        seen = check()
        passed = True
    except Exception as why:  # a check that breaks has failed
        seen = f"**failed**: {' '.join(str(why).split()) or type(why).__name__}"
        passed = False
    print(f"| {what} | {seen} | {time.monotonic() - start:.0f} s |", flush=True)
    return passed


def text_of(check: Callable[..., str]) -> str:
    return (check.__doc__ or "").strip().rstrip(".")


def main() -> int:
    parser = argparse.ArgumentParser(description="tries the image with a real Docker engine")
    parser.add_argument("--image-is-built", action="store_true", help="lossd:latest is up to date")
    options = parser.parse_args()
    with engine():
        if not options.image_is_built:
            subprocess.run(["deploy/image.sh"], check=True)
        print(f"Docker {version()}\n\n| what | seen | took |\n| --- | --- | --: |", flush=True)
        passed = [take(check, text_of(check)) for check in checks.CHECKS]
        with compose.stack() as running:
            for check in compose.CHECKS:
                passed.append(take(functools.partial(check, running), text_of(check)))
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
