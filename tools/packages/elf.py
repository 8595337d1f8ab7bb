"""What a program asks of the system that it runs on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection
from elftools.elf.sections import NoteSection

# Every system with glibc has these.
GLIBC = {"libc.so.6", "libm.so.6", "ld-linux-x86-64.so.2"}


def needed(program: Path) -> list[str]:
    """Returns the shared libraries that the program loads at its start."""
    with program.open("rb") as file:
        [dynamic] = [s for s in ELFFile(file).iter_sections() if isinstance(s, DynamicSection)]
        tags: list[Any] = list(dynamic.iter_tags("DT_NEEDED"))  # with attributes by their kind
        return sorted(tag.needed for tag in tags)


def newest_glibc(program: Path) -> tuple[int, int]:
    """Returns the highest version of glibc among the symbols that the program takes from it."""
    versions = [(0, 0)]
    with program.open("rb") as file:
        for section in ELFFile(file).iter_sections():
            if isinstance(section, GNUVerNeedSection):
                names = [a.name for _, auxiliary in section.iter_versions() for a in auxiliary]
                numbers = [name.removeprefix("GLIBC_").split(".") for name in names]
                versions += [(int(n[0]), int(n[1])) for n in numbers if n[0].isdecimal()]
    return max(versions)


def build_id(program: Path) -> str:
    """Returns the number by which debuggers find the program's symbols."""
    with program.open("rb") as file:
        for section in ELFFile(file).iter_sections():
            if isinstance(section, NoteSection):
                for note in section.iter_notes():
                    if note["n_type"] == "NT_GNU_BUILD_ID":
                        return str(note["n_desc"])
    raise SystemExit(f"{program} has no build id")


def complaint(program: Path, glibc: tuple[int, int]) -> str:
    """Returns why the program does not run on each system with that glibc, or nothing."""
    others = set(needed(program)) - GLIBC
    if others:
        return f"{program} needs {', '.join(sorted(others))}"
    newest = newest_glibc(program)
    return f"{program} needs glibc {newest[0]}.{newest[1]}" if newest > glibc else ""
