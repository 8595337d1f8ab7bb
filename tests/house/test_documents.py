"""Links between documents lead somewhere, and every decision that is cited exists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)")
CITED = re.compile(r"\bD([1-9]\d?)\b")


def sources(*endings: str) -> Iterator[str]:
    """Yields the tree's own files, without those in build/ or in hidden folders."""
    for top in sorted(ROOT.iterdir()):
        if top.name == "build" or top.name.startswith("."):
            continue
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.suffix in endings and path.is_file():
                yield str(path.relative_to(ROOT))


def anchors(document: Path) -> set[str]:
    """Returns the anchors of a Markdown page's headings."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    kept = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in kept}


def decisions() -> dict[int, str]:
    text = (ROOT / "DECISIONS.md").read_text(encoding="utf-8")
    return {int(n): title for n, title in re.findall(r"^## D(\d+) · (.*)$", text, re.MULTILINE)}


@pytest.mark.parametrize("name", list(sources(".md")))
def test_links_lead_to_files_and_headings(name: str) -> None:
    page = ROOT / name
    for path, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        if path.startswith("http"):
            continue
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{name} links to {path}"
        if anchor:
            assert anchor in anchors(target), f"{name} links to {path}#{anchor}"


def test_the_index_of_decisions_has_each_of_them() -> None:
    text = (ROOT / "DECISIONS.md").read_text(encoding="utf-8")
    index = re.findall(r"^\| D(\d+) \| \[(.*?)\]\(#", text, re.MULTILINE)
    assert {int(number): title for number, title in index} == decisions()


def test_every_cited_decision_exists() -> None:
    known = decisions()
    for name in sources(".md", ".h", ".cc", ".cu", ".cuh", ".py"):
        for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
            if name.endswith(".md") or "//" in line or "#" in line:
                cited = {int(number) for number in CITED.findall(line)}
                assert cited <= set(known), f"{name}: {line}"
