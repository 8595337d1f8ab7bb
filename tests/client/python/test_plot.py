"""lossd.plot reads what it should, names what is wrong, and draws a picture."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from lossd import plot

BENCH = [
    {"name": "a_vs_b", "ours": 2, "peer": 1, "ratio": 2.0, "unit": "1/s", "what": "calls"},
    {"name": "memory", "ours": -1, "peer": 10, "ratio": -0.1, "unit": "MB", "what": "growth"},
]


def test_csv_and_json_lines_are_read_as_the_same_curves() -> None:
    expected = {"step": [0, 1], "ours": [0.5, 0.25], "local": [0.5, 0.125]}
    assert plot.parse_curves("step,ours,local\n0,0.5,0.5\n\n1,0.25,0.125\n", "x") == expected
    lines = '{"step":0,"ours":0.5,"local":0.5}\n{"step":1,"local":0.125,"ours":0.25}\n'
    assert plot.parse_curves(lines, "x") == expected


def test_curves_that_are_written_read_back_bit_for_bit(tmp_path: Path) -> None:
    curves = {"a, b": [0.1, 1e-300], 'c "d"': [float("inf"), 3.0]}
    plot.write_csv(curves, tmp_path / "x.csv")
    read = plot.parse_curves((tmp_path / "x.csv").read_text(encoding="utf-8"), "x")
    assert read == {"step": [0, 1], **curves}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("loss\n1\nx\n", "f:3: loss: 'x' is no number"),
        ("a,b\n1,2\n3\n", "f:3: has 1 values for 2 columns"),
        ("a,a\n1,2\n", "f:1: must name each column once"),
        ("", "f: has no losses"),
        ("step\n1\n", "f: has no losses"),
        ('{"a":1}\n{"a":\n', "f:2: Expecting value"),
        ('{"a":1}\n{"b":1}\n', "f:2: has b, not a"),
        ('{"a":1}\n{"a":[1]}\n', r"f:2: a: \[1\] is no number"),
        ('{"a":1}\n{"a":true}\n', "f:2: a: True is no number"),
        ('{"a":1}\n[1]\n', "f:2: must be an object of numbers"),
    ],
)
def test_bad_curves_are_named_with_their_line(text: str, complaint: str) -> None:
    with pytest.raises(plot.BadFile, match=f"^{complaint}"):
        plot.parse_curves(text, "f")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[\n1,\n", "f:3: Expecting value"),
        ("[]", "f:1: must be a list of measurements"),
        ("[1]", "f: measurement 0: must be an object with a name"),
        ('[{"name":"n","ours":1,"peer":1}]', r"f: measurement 0 \(n\): has no ratio"),
        (
            '[{"name":"n","ours":"x","peer":1,"ratio":1}]',
            r"f: measurement 0 \(n\): ours: 'x' is no number",
        ),
    ],
)
def test_a_bad_bench_file_is_named(text: str, complaint: str) -> None:
    with pytest.raises(plot.BadFile, match=f"^{complaint}"):
        plot.parse_bench(text, "f")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lossd.plot", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("text", [json.dumps(BENCH), "loss\n1\n0.5\n", '{"loss":0}\n'])
def test_a_file_becomes_a_picture(tmp_path: Path, text: str) -> None:
    pytest.importorskip("matplotlib")
    source = tmp_path / "file.txt"
    source.write_text(text, encoding="utf-8")
    done = run(str(source))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "file.png").read_bytes().startswith(b"\x89PNG")


def test_curves_that_coincide_are_all_seen(tmp_path: Path) -> None:
    image = pytest.importorskip("matplotlib.image")
    losses = [1 / (1 + step) for step in range(50)]
    plot.save_curves({"first": losses, "second": losses}, tmp_path / "x.png")
    picture = image.imread(tmp_path / "x.png")
    red, blue = picture[..., 0], picture[..., 2]
    for seen in (blue > red + 0.1, red > blue + 0.1):  # the first two colors: blue and orange
        # The legend's lines are much shorter.
        assert seen.any(axis=0).mean() > 0.5


def test_a_file_that_is_missing_or_no_text_is_one_line(tmp_path: Path) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    for path, complaint in ((tmp_path / "none", "No such file"), (binary, "is no text")):
        done = run(str(path))
        assert done.returncode == 2
        assert done.stderr.startswith(f"lossd.plot: {path}: {complaint}")
        assert done.stderr.count("\n") == 1


def test_without_matplotlib_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "x.csv"
    source.write_text("loss\n1\n", encoding="utf-8")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert plot.main([str(source)]) == 2
    assert "pip install './client/python[plot]'" in capsys.readouterr().err
