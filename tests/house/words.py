"""Finds comments that are fragments: their openings give them away."""

from __future__ import annotations

import re
from collections.abc import Iterator

# A sentence with such an opening has no subject, or refers to the sentence before it.
OPENINGS = re.compile(r"(Of|What|Who|Whoever|Whose|As above|As below|The same|Likewise|Ditto)\b")
# These words refer to the sentence before, wherever they stand.
LEANING = re.compile(r"\b(likewise|ditto|as above)\b", re.IGNORECASE)
# A sentence ends before white space and a capital letter, so that "e.g." does not end one.
SENTENCE_END = re.compile(r"(?<=[a-z0-9)`'\"\]][.:;])\s+(?=[A-Z])")


def comment_blocks(text: str, mark: str) -> Iterator[tuple[int, str]]:
    """Yields line number and text of each block of comment lines and each trailing comment."""
    start = 0
    lines: list[str] = []
    for number, line in enumerate(text.split("\n"), 1):
        whole = re.match(rf"\s*{mark}+!?(?: |$)(.*)", line)
        if whole:
            start = start if lines else number
            lines.append(whole[1].strip())
            continue
        if lines:
            yield start, " ".join(lines)
            lines = []
        trailing = re.search(rf"\S\s+{mark} (.*)", line)
        if trailing:
            yield number, trailing[1]
    if lines:
        yield start, " ".join(lines)


def complaints(name: str, text: str) -> list[str]:
    """Returns the comments of one file that cannot be understood alone."""
    mark = "//" if name.endswith((".h", ".cc", ".cu", ".cuh", ".proto")) else "#"
    found = []
    for line, comment in comment_blocks(text, mark):
        for sentence in SENTENCE_END.split(comment):
            # Questions may have these openings.
            if sentence.endswith("?"):
                continue
            opening = OPENINGS.match(sentence)
            leaning = LEANING.search(sentence)
            if opening or leaning:
                found.append(f"{name}:{line}: {sentence[:70]}")
    return found
