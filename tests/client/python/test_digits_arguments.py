"""The command lines of the examples refuse what no training can be made of."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "client" / "python" / "examples"))

from digits_arguments import make_folder, parse_arguments  # noqa: E402

PATHS = ("--server=lossd", "--out=build/demo")


def test_workers_and_steps_have_defaults() -> None:
    read = parse_arguments(None, PATHS, steps=400, workers=4)
    assert (read.workers, read.steps) == (4, 400)


def test_an_example_without_workers_has_no_such_argument() -> None:
    with pytest.raises(SystemExit):
        parse_arguments(None, (*PATHS, "--workers=2"), steps=200)


@pytest.mark.parametrize(
    ("argument", "complaint"),
    [
        ("--steps=0", "argument --steps: must be at least 1, not 0"),
        ("--steps=-3", "argument --steps: must be at least 1, not -3"),
        ("--workers=0", "argument --workers: must be at least 1, not 0"),
        ("--workers=two", "argument --workers: invalid count value: 'two'"),
    ],
)
def test_a_wrong_count_is_named(
    argument: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_arguments(None, (*PATHS, argument), steps=400, workers=4)
    assert ended.value.code == 2
    assert complaint in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit, match=f"^--out={tmp_path}/file/curves: Not a directory$"):
        make_folder(tmp_path / "file" / "curves")
