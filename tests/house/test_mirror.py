"""Each source has a test of its name, or one that COVERED_BY names; the check is checked too."""

from __future__ import annotations

import mirror
import pytest
from tree import FILES, needs_git

pytestmark = needs_git


def test_every_source_has_a_test() -> None:
    assert mirror.uncovered(FILES) == []


def test_no_entry_is_stale() -> None:
    assert mirror.stale(FILES) == []


def test_every_folder_of_tests_mirrors_one_of_sources() -> None:
    assert mirror.strays(FILES) == []


def test_a_source_without_a_test_is_found() -> None:
    assert mirror.uncovered([*FILES, "server/batching/new_part.cc"]) == [
        "server/batching/new_part.cc"
    ]
    assert (
        mirror.uncovered(
            [*FILES, "server/batching/new_part.cc", "tests/server/batching/new_part_test.cc"]
        )
        == []
    )


def test_a_stale_entry_and_a_stray_test_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(mirror.COVERED_BY, "server/gone.cc", "tests/server/flags_test.cc")
    assert mirror.stale(FILES) == ["server/gone.cc"]
    assert mirror.strays([*FILES, "tests/server/parlour/chair_test.cc"]) == [
        "tests/server/parlour/chair_test.cc"
    ]
