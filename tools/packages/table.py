"""The table of programs and packages, with their sizes, that ./dev wheel ends with."""

from __future__ import annotations

import subprocess
import zipfile
from collections.abc import Sequence
from pathlib import Path

from tools.packages import elf

HEAD = ("file", "compressed", "installed", "needs", "of glibc")


def megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def program_rows(wheel: Path, programs: Sequence[Path]) -> list[tuple[str, ...]]:
    """Returns a row for each program, with its size in the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        inside = {Path(entry.filename).name: entry for entry in archive.infolist()}
    return [
        (
            program.name,
            megabytes(inside[program.name].compress_size),
            megabytes(program.stat().st_size),
            " ".join(elf.needed(program)),
            ".".join(map(str, elf.newest_glibc(program))),
        )
        for program in programs
    ]


def wheel_row(wheel: Path) -> tuple[str, ...]:
    with zipfile.ZipFile(wheel) as archive:
        installed = sum(entry.file_size for entry in archive.infolist())
    tag = "-".join(wheel.stem.split("-")[-3:])
    return wheel.name, megabytes(wheel.stat().st_size), megabytes(installed), tag, ""


def deb_row(deb: Path) -> tuple[str, ...]:
    asked = ["dpkg-deb", "--show", "--showformat=${Installed-Size}\t${Depends}", str(deb)]
    kilobytes, depends = subprocess.run(
        asked, capture_output=True, text=True, check=True
    ).stdout.split("\t")
    size = deb.stat().st_size
    return deb.name, megabytes(size), megabytes(int(kilobytes) * 1024), depends, ""


def text(rows: Sequence[Sequence[str]]) -> str:
    """Returns the rows below HEAD, with the sizes to the right."""
    table = [HEAD, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(HEAD))]
    lines = [
        "  ".join(
            cell.rjust(width) if column in (1, 2) else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]
    return "\n".join(lines)
