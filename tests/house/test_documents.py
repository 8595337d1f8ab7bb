"""Links and paths in documents lead somewhere, and every decision that is cited exists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)")
CODE = re.compile(r"`([^`\s]+)`")
FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
FILE = re.compile(r"\.(\{.*\}|md|h|cc|cu|cuh|py|sh|proto|txt|ya?ml|json|cmake|pack|png)$")
# These folders are made by a build.
MADE = ("build/", "gpu/")
CITED = re.compile(r"\bD([1-9]\d?)\b")


def sources(*endings: str) -> Iterator[str]:
    """Yields the tree's own files with these endings, or all of them if none is given.

    Files in build/ and in hidden folders are left out.
    """
    for top in sorted(ROOT.iterdir()):
        if top.name == "build" or top.name.startswith("."):
            continue
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.is_file() and (not endings or path.suffix in endings):
                yield str(path.relative_to(ROOT))


@cache
def tree() -> frozenset[str]:
    """Returns the paths of the tree's own files and folders."""
    files = [Path(name) for name in sources()]
    return frozenset(str(path) for file in files for path in (file, *file.parents))


def paths_in(text: str) -> list[str]:
    """Returns what a page writes as code and what looks like a path of this tree."""
    folders = {path for path in tree() if "/" not in path}
    return [
        code
        for code in CODE.findall(FENCED.sub("", text))
        if "/" in code
        and not code.startswith(("/", "~", "-", *MADE))
        and (code.endswith("/") or FILE.search(code) or code.split("/")[0] in folders)
    ]


def alternatives(path: str) -> list[str]:
    """Expands a list in braces: "a.{h,cc}" becomes "a.h" and "a.cc"."""
    braces = re.search(r"\{(.*?)\}", path)
    if not braces:
        return [path]
    return [path[: braces.start()] + part + path[braces.end() :] for part in braces[1].split(",")]


def exists(path: str) -> bool:
    """Returns whether the tree has the path, which may begin at any folder of the tree.

    NAME stands for any name, and so does an asterisk.
    """
    pattern = path.rstrip("/").replace("NAME", "*")
    return any(fnmatch(known, pattern) or fnmatch(known, f"*/{pattern}") for known in tree())


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


@pytest.mark.parametrize("name", list(sources(".md")))
def test_paths_in_documents_exist(name: str) -> None:
    found = paths_in((ROOT / name).read_text(encoding="utf-8"))
    assert [path for code in found for path in alternatives(code) if not exists(path)] == []


@pytest.mark.parametrize(
    "code",
    ["tests/house/rules.py", "server/nowhere", "wire/nowhere.{h,cc}", "nowhere/", "cpp/NAME.xyz.h"],
)
def test_a_path_that_leads_nowhere_is_found(code: str) -> None:
    paths = [path for found in paths_in(f"See `{code}`.") for path in alternatives(found)]
    assert paths
    assert not any(exists(path) for path in paths)


@pytest.mark.parametrize(
    "code", ["server/rpc", "wire/field.{h,cc}", "element/", "server/*.cc", "element/NAME-inl.h"]
)
def test_a_path_of_the_tree_exists(code: str) -> None:
    assert paths_in(f"See `{code}`.") == [code]
    assert all(exists(path) for path in alternatives(code))


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
