"""The demo's command line refuses what no training can be made of."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "client" / "python" / "examples"))

from digits_arguments import parse_arguments  # noqa: E402

PATHS = ("--server=lossd", "--out=build/demo")


def test_workers_and_steps_have_defaults() -> None:
    read = parse_arguments(None, PATHS)
    assert (read.workers, read.steps) == (4, 400)


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
        parse_arguments(None, (*PATHS, argument))
    assert ended.value.code == 2
    assert complaint in capsys.readouterr().err
