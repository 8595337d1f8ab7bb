"""The licences of what is inside: copies of Debian's copyright files, and what they declare."""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from debian.copyright import Copyright, FilesParagraph, NotMachineReadableError

from tools.packages.contents import Package

COMMON = Path("/usr/share/common-licenses")


def gather(packages: Iterable[Package], folder: Path) -> None:
    """Writes each copyright file as SOURCE.copyright, and the texts that they refer to.

    Debian's copyright files name a file of /usr/share/common-licenses in place of a long text.
    Other systems have none, so those texts come along.
    """
    folder.mkdir(parents=True)
    for package in packages:
        text = package.copyright.read_text(encoding="utf-8")
        (folder / f"{package.source}.copyright").write_text(text, encoding="utf-8")
        for name in re.findall(rf"{COMMON}/([\w.+-]*\w)", text):
            # The name may end a sentence, or be one that Debian no longer has.
            if (COMMON / name).exists():
                shutil.copyfile(COMMON / name, folder / name)


def declared(package: Package) -> list[str]:
    """Returns the names that Debian gives the licences of a package's files as a whole.

    They are those of the paragraph `Files: *`; other files of the source may have others, which
    the copyright file says. A copyright file without such a paragraph declares nothing.
    """
    logging.getLogger("debian.copyright").setLevel(logging.ERROR)  # it mends small faults of form
    with package.copyright.open(encoding="utf-8") as lines:
        try:
            paragraphs = list(Copyright(lines, strict=False).all_paragraphs())
        except (NotMachineReadableError, ValueError):
            return []
    given: list[Any] = [
        paragraph.license
        for paragraph in paragraphs
        if isinstance(paragraph, FilesParagraph) and "*" in paragraph.files
    ]
    names = [each.synopsis for each in given if each is not None]
    return [part for name in names for part in re.split(r",? (?:and|or) ", name)]


def spdx_name(name: str) -> str:
    """Returns SPDX's name for one of Debian's, where they differ by a rule."""
    if name == "Expat":
        return "MIT"
    found = re.fullmatch(r"(L?GPL)-(\d)(\.\d)?(\+?)", name)
    if found is None:
        return name
    family, major, minor, later = found.groups()
    return f"{family}-{major}{minor or '.0'}-{'or-later' if later else 'only'}"
