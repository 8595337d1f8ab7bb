"""A goal is a ratio to reach, or one that must not be exceeded."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

from measurement import Floors, Measurement, Result  # noqa: E402


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


@pytest.mark.parametrize(
    ("instruction_set", "ratio", "met", "goal"),
    [
        ("avx2", 3.0, True, ">= 3"),
        ("avx2", 2.9, False, ">= 3"),
        ("avx512", 3.9, False, ">= 4.5"),
        ("avx512", 4.5, True, ">= 4.5"),
        ("", 3.0, True, ">= 3"),
    ],
)
def test_an_instruction_set_has_a_goal_of_its_own(
    instruction_set: str, ratio: float, met: bool, goal: str
) -> None:
    result = Result("name", ratio, 1.0, ratio, "ms", "", instruction_set)
    measurement = Measurement(Floors(avx2=3, avx512=4.5), lambda name, programs, effort: result)
    assert measurement.is_met_by(result) == met
    assert measurement.goal_on(instruction_set) == goal
