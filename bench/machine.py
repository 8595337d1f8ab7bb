"""Describes the machine that a measurement belongs to."""

from __future__ import annotations

import datetime
import os
from pathlib import Path


def default_rpc_threads() -> int:
    """Returns the number of RPC threads that lossd starts here; each peer gets as many."""
    return min(4, max(1, len(os.sched_getaffinity(0)) // 2))


def describe_machine() -> dict[str, object]:
    models = [
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if line.startswith("model name")
    ]
    return {
        "cpu": models[0] if models else "unknown",
        "cores": os.cpu_count() or 1,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }
