"""Comments are sentences: the openings that make a fragment of one, and their search."""

from __future__ import annotations

import re
from collections.abc import Iterator

# A sentence that begins so has no subject, or leans on the sentence before it.
OPENINGS = re.compile(r"(Of|What|Who|Whoever|Whose|As above|As below|The same|Likewise|Ditto)\b")
# Words that lean on the sentence before it, wherever they stand.
LEANING = re.compile(r"\b(likewise|ditto|as above)\b", re.IGNORECASE)
# Endings of a sentence; "e.g." and the like, and numbers, do not end one.
SENTENCE_END = re.compile(r"(?<=[a-z0-9)`'\"\]][.:;])\s+(?=[A-Z])")


def comment_blocks(text: str, mark: str) -> Iterator[tuple[int, str]]:
    """Line number and text of each run of whole-line comments, and of each trailing one."""
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
    """The comments of one file that do not stand on their own."""
    mark = "//" if name.endswith((".h", ".cc", ".cu", ".cuh", ".proto")) else "#"
    found = []
    for line, comment in comment_blocks(text, mark):
        for sentence in SENTENCE_END.split(comment):
            # A question may begin so.
            if sentence.endswith("?"):
                continue
            opening = OPENINGS.match(sentence)
            leaning = LEANING.search(sentence)
            if opening or leaning:
                found.append(f"{name}:{line}: {sentence[:70]}")
    return found
