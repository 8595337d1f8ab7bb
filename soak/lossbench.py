"""Loads by lossbench."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from soak.server import Server

PROGRAM = Path("build/release/client/lossbench")  # ./dev soak builds it


def load(server: Server, *flags: str) -> dict[str, Any]:
    """Runs a load and returns its report; calls that fail are in its `errors`."""
    command = [str(PROGRAM), f"--target={server.address}", "--threads=2", "--json", *flags]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    report: dict[str, Any] = json.loads(printed)
    return report
