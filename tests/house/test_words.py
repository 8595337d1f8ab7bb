"""No comment in the tree begins like a fragment, and the search finds what it should."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path

import pytest
from tree import FILES, ROOT, needs_git
from words import complaints

ENDINGS = (".h", ".cc", ".cu", ".cuh", ".proto", ".py", ".sh", ".cmake", ".yml", ".yaml")
NAMES = ("CMakeLists.txt", "requirements*.txt", "Dockerfile", "dev")


def sources() -> list[str]:
    return [
        name
        for name in FILES
        if name.endswith(ENDINGS) or any(fnmatch(Path(name).name, known) for known in NAMES)
    ]


@needs_git
@pytest.mark.parametrize("name", sources())
def test_comments_stand_on_their_own(name: str) -> None:
    assert complaints(name, (ROOT / name).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.h", "// Of a request: its bytes.\n"),
        ("a.h", "int a;  // What the wire says\n"),
        ("a.cc", "// Returns a status. Likewise for\n// streams.\n"),
        ("a.cc", "// A size in bytes,\n// as above.\n"),
        ("a.py", "# The same of a stream.\n"),
        ("a.proto", "// Bounds the queue. Who waits is told.\n"),
    ],
)
def test_a_fragment_is_found(name: str, text: str) -> None:
    assert len(complaints(name, text)) == 1


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.h", "// Returns the bytes of a request. Never blocks.\n"),
        ("a.h", "// Official names.\nint what;  // the count\n"),
        ("a.py", '"""Documents are not searched."""\nWHAT = "Of"\n'),
        ("a.sh", "# A word that wraps to\n# what follows.\n"),
    ],
)
def test_a_sentence_is_not(name: str, text: str) -> None:
    assert complaints(name, text) == []
