"""The site has a page for each document and public module, and each public name has a text.

`./dev docs` builds the site (D81). The names are read from the sources, as the site's own are, so
that neither the site's packages nor PyTorch and the other frameworks are needed here.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import griffe
import pytest
import yaml
from tree import FILES, ROOT, needs_git

PYTHON = ROOT / "client/python"
API = "api/"
MODULE = re.compile(r"\blossd\.([a-z_]+)")


class Loader(yaml.SafeLoader):
    """Reads the configuration without the Python objects that it names."""


Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_: None)


def paths_of(nav: Any) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
        return
    for item in nav.values() if isinstance(nav, dict) else nav:
        yield from paths_of(item)


CONFIG = yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), Loader)  # noqa: S506
PAGES = list(paths_of(CONFIG["nav"]))
DOCUMENTED = [Path(page).stem for page in PAGES if page.startswith(API)]


def module_name(source: Path) -> str:
    return ".".join(source.relative_to(PYTHON).with_suffix("").parts).removesuffix(".__init__")


def is_public(source: Path) -> bool:
    """Returns whether a module says which of its names are for its users."""
    tree = ast.parse(source.read_text(encoding="utf-8"))
    assigned = [
        target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets
    ]
    return any(isinstance(target, ast.Name) and target.id == "__all__" for target in assigned)


def public_modules() -> set[str]:
    sources = [*PYTHON.glob("*.py"), *PYTHON.glob("lossd/**/*.py")]
    return {module_name(source) for source in sources if is_public(source)}


def without_text(module: griffe.Module) -> list[str]:
    """Returns the public names of a module, and of its classes, that have no docstring.

    A method may have that of a base class.
    """
    found = []
    for name in module.exports or []:
        member = module[str(name)]
        if not (member.is_class or member.is_function):
            continue
        if not member.has_docstring:
            found.append(member.path)
        if member.is_class:
            found += [f"{member.path}.{method}" for method in methods_without_text(member)]
    return found


def methods_without_text(owner: Any) -> list[str]:
    classes = [owner.final_target if owner.is_alias else owner, *owner.mro()]
    methods: dict[str, bool] = {}
    for each in classes:
        for name, member in each.members.items():
            if not member.is_alias and member.is_function and not name.startswith("_"):
                methods[name] = methods.get(name, False) or member.has_docstring
    return [name for name, has_text in methods.items() if not has_text]


def load(name: str, folder: Path = PYTHON) -> griffe.Module:
    loader = griffe.GriffeLoader(search_paths=[folder], allow_inspection=False)
    loader.load(name.partition(".")[0])
    loader.resolve_aliases(external=True)
    found = loader.modules_collection[name]
    assert isinstance(found, griffe.Module)
    return found


@needs_git
def test_every_document_is_in_the_navigation_once() -> None:
    assert sorted(page for page in PAGES if page.endswith(".md") and not page.startswith(API)) == [
        name for name in sorted(FILES) if name.endswith(".md")
    ]


def test_every_page_of_the_navigation_has_a_source() -> None:
    assert [
        page for page in PAGES if not page.startswith(API) and not (ROOT / page).is_file()
    ] == []


def test_every_public_module_has_a_page() -> None:
    assert set(DOCUMENTED) == public_modules()


def test_every_module_that_a_document_names_is_public() -> None:
    modules = {source.stem for source in PYTHON.glob("lossd/*.py")}
    modules |= {source.parent.name for source in PYTHON.glob("lossd/*/__init__.py")}
    for page in PAGES:
        if page.endswith(".md") and not page.startswith(API):
            named = set(MODULE.findall((ROOT / page).read_text(encoding="utf-8"))) & modules
            assert {f"lossd.{name}" for name in named} <= set(DOCUMENTED), page


@pytest.mark.parametrize("name", DOCUMENTED)
def test_every_public_name_has_a_text(name: str) -> None:
    module = load(name)
    assert module.docstring
    assert module.exports
    assert without_text(module) == []


def test_a_name_without_a_text_is_found(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/base.py").write_text(
        'class Base:\n    def sell(self):\n        """Sells."""\n', encoding="utf-8"
    )
    (tmp_path / "shop/__init__.py").write_text(
        "from shop.base import Base\n"
        '__all__ = ["Base", "Baker", "buy"]\n'
        "class Baker(Base):\n"
        '    """Bakes."""\n'
        "    def sell(self): ...\n"
        "    def bake(self): ...\n"
        "    def _knead(self): ...\n"
        "def buy(): ...\n"
        "def steal(): ...\n",
        encoding="utf-8",
    )
    assert without_text(load("shop", tmp_path)) == ["shop.Base", "shop.Baker.bake", "shop.buy"]
