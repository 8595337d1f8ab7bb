"""Gives MkDocs the files of the site, which lie where a code host shows them (D81).

MkDocs would take its pages from one folder. Here each page keeps its path in the repository, so
that links between documents, and from documents to sources, are the same in both places.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from markdown import Extension, Markdown
from markdown.blockprocessors import build_block_parser
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

LOG = logging.getLogger("mkdocs.hooks.site_files")
ROOT = Path(__file__).resolve().parents[1]
API = "api/"  # a page of this folder is made from the docstrings of the module that it names
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)\s]*)?\)")
PARAGRAPH = re.compile(r"<p>(.*?)</p>", re.DOTALL)
ITEM = re.compile(r"\n\s*([-*+]|\d{1,2}\.) .*")  # a year may begin a line of text
DEFINITION = re.compile(r"^(?://.*\n)*(?:service|message|enum) (\w+) ", re.MULTILINE)
PICTURES = (".png", ".svg")
LANGUAGES = {".cu": "cuda", ".cuh": "cuda", ".h": "cpp", ".cc": "cpp"}


class SourcePage(File):
    """A page with the text of a source file."""

    def is_documentation_page(self) -> bool:
        return True


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Reads lists as code hosts do."""
    config.markdown_extensions.insert(0, NestedLists())
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Replaces the files of MkDocs's folder by those that the navigation and documents name."""
    theme = [file for file in files if file.src_dir != config.docs_dir]
    # MkDocs warns of the others, which fails a strict build.
    pages = [path for path in _paths(config.nav) if path.startswith(API) or (ROOT / path).is_file()]
    documents = [path for path in pages if path.endswith(".md") and not path.startswith(API)]
    linked = {target for path in documents for target in _linked(path)} - set(documents)
    ours = [_file(config, path, InclusionLevel.INCLUDED) for path in pages]
    ours += [_file(config, path, InclusionLevel.NOT_IN_NAV) for path in sorted(linked - set(pages))]
    return Files([*theme, *ours])


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> None:
    """Warns of list items that stand in a paragraph, which fails a strict build.

    Python-Markdown takes a list for text where no empty line ends the paragraph before it.
    """
    for paragraph in PARAGRAPH.findall(html):
        item = ITEM.search(paragraph)
        if item:
            LOG.warning("%s: needs an empty line before %r", page.file.src_uri, item[0].strip())


def _paths(nav: Any) -> Iterator[str]:
    """Yields the paths of a navigation, which is nested lists of titles and paths."""
    if isinstance(nav, str):
        yield nav
        return
    for item in nav.values() if isinstance(nav, dict) else nav:
        yield from _paths(item)


def _linked(document: str) -> Iterator[str]:
    """Yields the files to which a document links, if they are no documents themselves."""
    folder = (ROOT / document).parent
    for link in LINK.findall((ROOT / document).read_text(encoding="utf-8")):
        target = (folder / link).resolve()
        if target.is_file() and target.suffix != ".md" and target.is_relative_to(ROOT):
            yield str(target.relative_to(ROOT))


def _file(config: MkDocsConfig, path: str, inclusion: InclusionLevel) -> File:
    if path.startswith(API):
        module = Path(path).stem
        return File.generated(config, path, content=f"# {module}\n\n::: {module}\n")
    source = ROOT / path
    if path.endswith((".md", *PICTURES)):
        return File.generated(config, path, abs_src_path=str(source), inclusion=inclusion)
    listing = _listing(source, searched=inclusion.is_in_nav())
    page = SourcePage.generated(config, path, content=listing, inclusion=inclusion)
    page.dest_uri = f"{path}.html"
    return page


def _listing(source: Path, searched: bool) -> str:
    """Returns a page that shows a source file, and whether the site's search finds it.

    The definitions of a proto have a heading each.
    """
    text = source.read_text(encoding="utf-8")
    found = list(DEFINITION.finditer(text)) if source.suffix == ".proto" else []
    ends = [*(definition.start() for definition in found), len(text)]
    language = LANGUAGES.get(source.suffix, source.suffix.removeprefix("."))
    parts = [
        f"---\nsearch:\n  exclude: {str(not searched).lower()}\n---\n# {source.name}\n",
        _lines(language, text, 0, ends[0]),
    ]
    for definition, end in zip(found, ends[1:], strict=True):
        parts += [f"## {definition[1]}\n", _lines(language, text, definition.start(), end)]
    return "\n".join(parts)


def _lines(language: str, text: str, start: int, end: int) -> str:
    """Returns a part of a file with the numbers of its lines."""
    number = text.count("\n", 0, start) + 1
    return f'``````{language} linenums="{number}"\n{text[start:end].rstrip()}\n``````\n'


class NestedLists(Extension):
    """Nests lists that are indented by two spaces, where Python-Markdown wants four.

    It is the first extension, because the parser that it replaces has to be that of Markdown alone.
    """

    def extendMarkdown(self, md: Markdown) -> None:
        md.tab_length = 2
        md.parser = build_block_parser(md)
