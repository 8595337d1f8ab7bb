"""A row passes only if something was done and nothing was lost; a table holds every row."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from soak.row import judged, not_run, rows_in, table


@pytest.mark.parametrize(
    ("times", "lost", "broken", "verdict"),
    [
        (200, 0, "", "passed"),
        (200, 1, "", "FAILED"),
        (200, 0, "the server has ended", "FAILED"),
        (0, 0, "", "FAILED"),
    ],
)
def test_verdicts(times: int, lost: int, broken: str, verdict: str) -> None:
    row = judged("drain", "SIGTERM", "grpcio 1", times=times, lost=lost, broken=broken)
    assert row.verdict == verdict


def test_what_broke_stands_before_what_was_seen() -> None:
    row = judged("drain", "SIGTERM", "grpcio 1", times=1, lost=0, seen="9 calls", broken="dead")
    assert row.seen == "dead; 9 calls"


def test_a_table_has_a_line_for_each_row() -> None:
    rows = [
        judged("drain", "SIGTERM", "grpcio 1", times=50, lost=0, seen="a|b\nc"),
        not_run("scrapes", "GET", "Prometheus 3", "go is not installed"),
    ]
    assert table(rows).splitlines() == [
        "| what was done | counterpart | times | lost | verdict | seen | printed by |",
        "| --- | --- | --: | --: | --- | --- | --- |",
        "| SIGTERM | grpcio 1 | 50 | 0 | passed | a/b c | `./dev soak drain` |",
        "| GET | Prometheus 3 | 0 | 0 | not run | go is not installed | `./dev soak scrapes` |",
    ]


def test_the_losses_of_another_build_stand_beside(tmp_path: Path) -> None:
    old = judged("drain", "SIGTERM", "grpcio 1", times=5, lost=16)
    (tmp_path / "drain.json").write_text(json.dumps({"rows": [old.as_json()]}))
    new = [
        judged("drain", "SIGTERM", "grpcio 1", times=50, lost=0),
        judged("drain", "SIGTERM", "grpcio 2", times=50, lost=0),
    ]
    lines = table(new, rows_in(tmp_path)).splitlines()
    assert [line.split(" | ")[3:5] for line in lines[2:]] == [["0", "16 in 5"], ["0", ""]]
