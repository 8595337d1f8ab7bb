"""tests/peers/report.json: what the packages answered, by the parts and keys of checks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.peers.checks import Check

PATH = Path(__file__).parent / "report.json"
PARTS = ("rows", "trees", "signatures")

Report = dict[str, dict[str, Any]]


def read() -> Report:
    known: Report = json.loads(PATH.read_text()) if PATH.exists() else {}
    return {part: known.get(part, {}) for part in PARTS}


def put(answers: Report, check: Check, found: Any) -> None:
    """Replaces what a check found; None, where it failed, removes it."""
    if found is None:
        answers[check.part].pop(check.key, None)
    else:
        answers[check.part][check.key] = found


def write(answers: Report, every: Sequence[Check]) -> None:
    """Writes the report in the order of the checks, without those that there are no more.

    Each check has a line, so that a change shows which ones it is about.
    """
    parts = []
    for part in PARTS:
        keys = [one.key for one in every if one.part == part]
        answers[part] = {key: answers[part][key] for key in keys if key in answers[part]}
        lines = [
            f"  {json.dumps(key)}: {json.dumps(found)}" for key, found in answers[part].items()
        ]
        parts.append(f" {json.dumps(part)}: {{\n" + ",\n".join(lines) + "\n }")
    PATH.write_text("{\n" + ",\n".join(parts) + "\n}\n")
