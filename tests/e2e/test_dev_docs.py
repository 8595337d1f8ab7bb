"""The site builds, loads nothing from another host, and does not build where a page is missing.

The packages that build it are not those of the tests, so these are skipped until ./dev docs has
prepared them.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = ROOT / "build/venv-docs/bin"
MKDOCS = BIN / "mkdocs"
CONFIG = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
# These elements are loaded with the page that has them. A link is loaded only when it is followed.
LOADED = re.compile(r"<(?:script|img|iframe|source|link)\b[^>]*\b(?:src|href)=[\"']?(?:https?:)?//")
IMPORTED = re.compile(r"(?:@import|url\()\s*[\"']?(?:https?:)?//")

pytestmark = pytest.mark.skipif(
    not MKDOCS.exists(), reason="./dev docs has not been run, and prepares build/venv-docs"
)


def build(config: str, site: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [MKDOCS, "build", "--strict", "--config-file=-", f"--site-dir={site}"],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        input=config,
        capture_output=True,
        text=True,
        check=False,
    )


# Renders standard input as the site does, and checks it as a page.
RENDER = """
import sys, types
import markdown, site_files
html = markdown.markdown(sys.stdin.read(), extensions=[site_files.NestedLists()])
page = types.SimpleNamespace(file=types.SimpleNamespace(src_uri="x.md"))
site_files.on_page_content(html, page, None, None)
print(html)
"""


def render(text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / "python", "-c", RENDER],
        cwd=ROOT / "tools",
        input=text,
        capture_output=True,
        text=True,
        check=True,
    )


def test_the_site_builds_and_loads_nothing_from_another_host(tmp_path: Path) -> None:
    done = build(CONFIG, tmp_path)
    assert done.returncode == 0, done.stderr
    pages = list(tmp_path.rglob("*.html"))
    assert (tmp_path / "index.html") in pages
    assert (tmp_path / "server/main.cc.html") in pages  # a source that the README links to
    for page in pages:
        assert not LOADED.search(page.read_text(encoding="utf-8")), page
    for sheet in tmp_path.rglob("*.css"):
        assert not IMPORTED.search(sheet.read_text(encoding="utf-8")), sheet


@pytest.mark.parametrize(
    ("page", "instead", "complaint"),
    [
        ("CHANGELOG.md", "NOWHERE.md", "'NOWHERE.md' is included in the 'nav'"),
        ("CHANGELOG.md", "api/lossd.nowhere.md", "lossd.nowhere could not be found"),
        ("kernels/README.md", "CHANGELOG.md", "contains a link 'kernels/README.md#accuracy'"),
    ],
)
def test_a_page_that_is_missing_fails_the_build(
    tmp_path: Path, page: str, instead: str, complaint: str
) -> None:
    done = build(CONFIG.replace(f": {page}\n", f": {instead}\n"), tmp_path)
    assert done.returncode != 0
    assert complaint in done.stderr


def test_lists_are_nested_as_code_hosts_nest_them() -> None:
    done = render("- a\n  - b\n- c\n\n  | d |\n  |---|\n")
    assert done.stdout.count("<ul>") == 2
    assert done.stderr == ""


@pytest.mark.parametrize("text", ["a:\n- b\n", "1. a\n\n   b\n2. c\n"])
def test_a_list_that_would_be_text_is_found(text: str) -> None:
    assert "x.md: needs an empty line before" in render(text).stderr


@pytest.mark.parametrize("text", ["a:\n\n- b\n", "until\n2027. The end\n"])
def test_text_and_lists_are_not(text: str) -> None:
    assert render(text).stderr == ""
