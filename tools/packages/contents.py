"""What is inside the programs: the Debian packages whose files the compiler and the linker read."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

# Headers of the kernel give numbers and layouts of system calls; nothing of it gets inside.
KERNEL_INTERFACE = "linux-libc-dev"


@dataclass(frozen=True, order=True)
class Package:
    """A package of Debian: a binary one that is installed, or a source that was built here."""

    name: str
    version: str
    architecture: str  # "source" for those that were built here
    source: str
    source_version: str
    copyright: Path


def linked_files(dependencies: Path) -> set[str]:
    """Returns the files that the linker read, from the rule for make that it wrote (PROGRAM.d)."""
    rule = dependencies.read_text(encoding="utf-8").replace("\\\n", " ")
    first = rule.split("\n", 1)[0]  # a rule without prerequisites follows for each file
    return set(first.split(":", 1)[1].split())


def included_files(build: Path) -> set[str]:
    """Returns the headers that were included, by ninja's log of dependencies."""
    told = subprocess.run(
        ["ninja", "-C", str(build), "-t", "deps"], capture_output=True, text=True, check=True
    )
    return {line.strip() for line in told.stdout.splitlines() if line.startswith("    ")}


def outside_files(files: Iterable[str], root: Path, static: Path) -> set[Path]:
    """Returns those that are not lossd's own, without the shared libraries, which stay outside.

    `root` is lossd's tree, and `static` the folder in it of libraries that were built here.
    Relative paths are files of the build.
    """
    paths = {Path(os.path.realpath(file)) for file in files if file.startswith("/")}
    return {
        path
        for path in paths
        if (path.is_relative_to(static) or not path.is_relative_to(root))
        and not re.search(r"\.so(\.[\d.]+)?$", path.name)
    }


def _owners(files: set[Path]) -> dict[Path, str]:
    """Returns the installed package of each file. A file of none ends the program with its name."""
    # Packages may still list files below /lib, which has become a link to /usr/lib.
    asked = {str(file) for file in files} | {str(file).removeprefix("/usr") for file in files}
    told = subprocess.run(
        ["dpkg-query", "--search", *sorted(asked)], capture_output=True, text=True, check=False
    )
    owners = {}
    for line in told.stdout.splitlines():
        names, _, path = line.rpartition(": ")
        owners[path.removeprefix("/usr")] = names.split(",")[0].split(":")[0]
    missing = sorted(str(file) for file in files if str(file).removeprefix("/usr") not in owners)
    if missing:
        raise SystemExit(f"no package of Debian has {', '.join(missing)}")
    return {file: owners[str(file).removeprefix("/usr")] for file in files}


def _installed(names: set[str]) -> list[Package]:
    fields = ("Package", "Version", "Architecture", "source:Package", "source:Version")
    asked = "\\t".join(f"${{{field}}}" for field in fields) + "\\n"
    told = subprocess.run(
        ["dpkg-query", "--show", f"--showformat={asked}", *sorted(names)],
        capture_output=True,
        text=True,
        check=True,
    )
    packages = []
    for line in told.stdout.splitlines():
        name, version, architecture, source, source_version = line.split("\t")
        text = Path(f"/usr/share/doc/{name}/copyright").resolve()
        packages.append(Package(name, version, architecture, source, source_version, text))
    return packages


def _built(folder: Path) -> Package:
    """Returns the source package of a folder SOURCE_VERSION of static_libraries.sh."""
    source, version = folder.name.split("_")[0], (folder / "built").read_text().strip()
    return Package(source, version, "source", source, version, folder / "copyright")


def packages_of(files: set[Path], static: Path) -> list[Package]:
    """Returns the packages that have the files, in order of their names."""
    built = {static / file.relative_to(static).parts[0] for file in files if static in file.parents}
    others = {file for file in files if static not in file.parents}
    installed = _installed(set(_owners(others).values())) if others else []
    kept = [package for package in installed if package.name != KERNEL_INTERFACE]
    return sorted([*kept, *(_built(folder) for folder in built)])
