"""Describes the machine that a measurement belongs to."""

from __future__ import annotations

import datetime
import os
from pathlib import Path

# The instruction sets that the bench measures, narrowest first, each with what Linux calls
# the parts of it that the kernels and their peers use.
INSTRUCTION_SETS = {
    "avx2": {"avx2", "fma", "f16c"},
    "avx512": {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"},
}


def default_rpc_threads() -> int:
    """Returns the number of RPC threads that lossd starts here; each peer gets as many."""
    return min(4, max(1, len(os.sched_getaffinity(0)) // 2))


def _values(field: str) -> list[str]:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return [line.split(":", 1)[1].strip() for line in lines if line.startswith(field)]


def instruction_sets() -> list[str]:
    """Returns those of INSTRUCTION_SETS that this machine has, the best one last."""
    flags = {flag for line in _values("flags") for flag in line.split()}
    return [name for name, needed in INSTRUCTION_SETS.items() if needed <= flags]


def describe_machine() -> dict[str, object]:
    """Returns the processor, its instruction sets, the number of cores, and the date."""
    return {
        "cpu": (_values("model name") or ["unknown"])[0],
        "instruction_sets": " ".join(instruction_sets()) or "unknown",
        "cores": os.cpu_count() or 1,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }
