"""Results become one table for each instruction set, and one picture of all."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).parents[2] / "bench"
sys.path.insert(0, str(BENCH))

from chart import read_rows  # noqa: E402
from results import read_results  # noqa: E402
from tables import document, replace_tables  # noqa: E402


def row(name: str, instruction_set: str, ratio: float, missed: bool = False) -> dict[str, Any]:
    return {
        "name": name,
        "ours": 1234567.0 * ratio,
        "peer": 12.25,
        "ratio": ratio,
        "unit": "elements/s",
        "what": "",
        "instruction_set": instruction_set,
        "goal": 2.0,
        "wanted": ">= 2",
        "missed": missed,
        "cpu": "A processor",
        "cores": 2,
        "date": "2026-11-30",
    }


ROWS = [row("a", "avx2", 1.5, missed=True), row("a", "avx512", 3.0), row("b", "avx512", 2.0)]


def test_each_instruction_set_has_a_table() -> None:
    assert document([ROWS]).splitlines() == [
        "### AVX2",
        "",
        "A processor, 2 cores, 2026-11-30.",
        "",
        "| name | ours | peer | unit | ratio | goal |",
        "|---|--:|--:|---|--:|---|",
        "| `a` | 1,851,850 | 12.2 | elements/s | **1.50** | >= 2 |",
        "",
        "### AVX-512",
        "",
        "A processor, 2 cores, 2026-11-30.",
        "",
        "| name | ours | peer | unit | ratio | goal |",
        "|---|--:|--:|---|--:|---|",
        "| `a` | 3,703,701 | 12.2 | elements/s | 3.00 | >= 2 |",
        "| `b` | 2,469,134 | 12.2 | elements/s | 2.00 | >= 2 |",
    ]


def test_a_second_run_stands_beside_the_first() -> None:
    lines = document([ROWS, [row("a", "avx512", 1.0, missed=True)]]).splitlines()
    assert "| name | ours | peer | unit | ratio | again | goal |" in lines
    assert "| `a` | 3,703,701 | 12.2 | elements/s | 3.00 | **1.00** | >= 2 |" in lines
    assert "| `b` | 2,469,134 | 12.2 | elements/s | 2.00 |  | >= 2 |" in lines


def test_tables_replace_those_of_a_document() -> None:
    text = "before\n<!-- tables -->\nold\n<!-- end of tables -->\nafter\n"
    once = replace_tables(text, "new\n")
    assert once == "before\n<!-- tables -->\n\nnew\n\n<!-- end of tables -->\nafter\n"
    assert replace_tables(once, "new\n") == once
    with pytest.raises(ValueError, match="has no lines <!-- tables -->"):
        replace_tables("no tables", "new")


def test_the_command_writes_a_document(tmp_path: Path) -> None:
    (tmp_path / "bench.json").write_text(json.dumps(ROWS))
    page = tmp_path / "page.md"
    page.write_text("<!-- tables -->\n<!-- end of tables -->\n")
    command = [sys.executable, str(BENCH / "tables.py"), str(tmp_path / "bench.json")]
    subprocess.run([*command, f"--write={page}"], check=True)
    assert document([ROWS]) in page.read_text()
    page.write_text("nothing")
    done = subprocess.run([*command, f"--write={page}"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "has no lines" in done.stderr


def test_a_picture_has_the_newest_of_each_name_and_set(tmp_path: Path) -> None:
    first, second = tmp_path / "1.json", tmp_path / "2.json"
    first.write_text(json.dumps([ROWS[1], ROWS[2], ROWS[0]]))
    second.write_text(json.dumps([row("a", "avx512", 9.0)]))
    rows = read_rows([first, second])
    found = [(one["name"], one["instruction_set"], one["ratio"]) for one in rows]
    assert found == [("a", "avx2", 1.5), ("a", "avx512", 9.0), ("b", "avx512", 2.0)]


OLD = {"name": "c", "ours": 3.0, "peer": 2.0, "ratio": 1.5}  # as earlier releases wrote it


def test_results_of_any_release_are_shown(tmp_path: Path) -> None:
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    old.write_text(json.dumps([OLD, {**OLD, "name": "d", "goal": 2}]))
    new.write_text(json.dumps([row("a", "avx2", 3.0), row("a", "neon", 3.0)]))
    lines = document(read_results([old, new])).splitlines()
    assert [line for line in lines if line.startswith("###")] == [
        "### AVX2",
        "### neon",
        "### The machine's own choice",
    ]
    assert "an unknown processor, unknown cores, an unknown date." in lines
    assert "| `c` | 3 | 2 |  | 1.50 | reported |" in lines
    assert "| `d` | 3 | 2 |  | 1.50 | >= 2 |" in lines
    found = {(one["name"], one["instruction_set"]) for one in read_rows([old, new])}
    assert found == {("c", ""), ("d", ""), ("a", "avx2"), ("a", "neon")}


def test_machines_stand_above_their_results() -> None:
    other = {**row("a", "avx2", 2.0), "cpu": "Another processor"}
    lines = document([ROWS, [other]]).splitlines()
    assert lines[2] == ("A processor, 2 cores, 2026-11-30; Another processor, 2 cores, 2026-11-30.")


@pytest.mark.parametrize("program", ["tables.py", "chart.py"])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "No such file or directory"),
        (b"\xff\xfe", "is no text"),
        (b"", "Expecting value"),
        (b"[]", "must be a list of measurements"),
        (b'{"results": []}', "must be a list of measurements"),
        (b'[{"name": "a", "ours": 1, "peer": 1}]', "measurement 0 (a): has no ratio"),
    ],
)
def test_a_bad_file_is_named(
    program: str, text: bytes | None, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "bad.json"
    if text is not None:
        path.write_bytes(text)
    command = [sys.executable, str(BENCH / program), str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert str(path) in done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
