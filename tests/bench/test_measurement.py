"""A goal is a ratio to reach, or one that must not be exceeded."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

from measurement import Measurement, Result  # noqa: E402


@pytest.mark.parametrize(
    ("floor", "ceiling", "ratio", "met"),
    [
        (2.5, None, 2.5, True),
        (2.5, None, 2.4, False),
        (None, 1.5, 1.5, True),
        (None, 1.5, 1.6, False),
        (None, 1.5, 0.1, True),
        (None, None, 0.1, True),
    ],
)
def test_a_result_meets_its_goal(
    floor: float | None, ceiling: float | None, ratio: float, met: bool
) -> None:
    result = Result("name", ratio, 1.0, ratio, "ms", "")
    measurement = Measurement(floor, lambda name, programs, effort: result, ceiling)
    assert measurement.is_met_by(result) == met
