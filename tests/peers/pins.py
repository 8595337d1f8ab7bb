"""The versions of the packages that ./dev peers asks, from the files that pin them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

HERE = Path(__file__).parent


def _python() -> dict[str, str]:
    lines = (HERE / "requirements.txt").read_text().splitlines()
    pins = (re.fullmatch(r"([\w.-]+)(?:\[\w+\])?==(\S+)", line) for line in lines)
    return {pin[1]: pin[2] for pin in pins if pin}


def _node() -> dict[str, str]:
    found: dict[str, str] = json.loads((HERE / "node" / "package.json").read_text())["dependencies"]
    return found


def _java() -> dict[str, str]:
    space = "{http://maven.apache.org/POM/4.0.0}"
    project = ElementTree.parse(HERE / "java" / "pom.xml")
    found = project.iter(f"{space}dependency")
    return {part[1].text or "": part[2].text or "" for part in found}


def _rust() -> dict[str, str]:
    manifest = (HERE / "rust" / "Cargo.toml").read_text()
    pins = dict(re.findall(r'^([\w-]+) = .*?"=([\d.]+)"', manifest, re.MULTILINE))
    return {**pins, "burn-nn": pins["burn"]}  # burn brings it in the same version


def versions() -> dict[str, str]:
    """Returns the version of each package under the name that its own registry has."""
    return {**_python(), **_node(), **_java(), **_rust()}
