"""The tables show what the model says, and the times that it has are those of the tree."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "bench"))
from scaling.inputs import Load, load_times  # noqa: E402
from scaling.plan import compared_loads, of_comparison, of_times, regimes, table  # noqa: E402


def test_a_table_is_markdown() -> None:
    assert table(["a", "b"], [["c", "1"]]) == "| a | b |\n| --- | --: |\n| c | 1 |\n"


def test_sessions_are_left_out_where_they_were_not_measured() -> None:
    times = replace(load_times(), session=None)
    assert {load.kind for load in compared_loads(times)} == {"unary"}
    assert {load.kind for load in regimes(times).values()} == {"unary"}
    assert "session" not in of_times(times)


def test_a_comparison_has_the_ratio() -> None:
    loads = [Load(1 << 20, 4, own_cores=False)]
    row = of_comparison(load_times(), 2, loads, [100.0]).splitlines()[2]
    name, foretold, measured, ratio = (cell.strip() for cell in row.strip("|").split("|"))
    assert name == "unary, 1,048,576 elements, c = 4"
    assert measured == "100"
    assert abs(float(ratio) - float(foretold.replace(",", "")) / 100) < 0.01
