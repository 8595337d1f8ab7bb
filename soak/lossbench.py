"""Loads by lossbench."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from soak.server import Server, on_cpus

PROGRAM = Path("build/release/client/lossbench")  # ./dev soak builds it


def load(server: Server, *flags: str, cpus: str = "") -> dict[str, Any]:
    """Runs a load, on `cpus` if given, and returns its report; failed calls are in `errors`."""
    lossbench = [str(PROGRAM), f"--target={server.address}", "--threads=2", "--json"]
    command = [*on_cpus(cpus), *lossbench, *flags]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    report: dict[str, Any] = json.loads(printed)
    return report
