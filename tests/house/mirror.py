"""Finds the test of a source: it has the same path under tests/, or COVERED_BY names it."""

from __future__ import annotations

from pathlib import Path

# Maps a source without a test of its name to the test that would fail if it were wrong.
COVERED_BY: dict[str, str] = {}

# These folders of tests mirror no folder of sources, because they test the whole.
WHOLE = ("house", "e2e", "integration", "fuzz", "judge", "tsan")

ROOMS = ("base", "element_type", "kernels", "server", "client", "bench")
SOURCES = (".cc", ".cu", ".py")
# These sources are entry points of programs, which the end-to-end tests start.
PROGRAMS = ("main.cc", "lossctl.cc", "lossbench.cc", "echo_server.cc", "protobuf_echo_server.cc")


def stem_of(source: str) -> str:
    return Path(source).name.split(".")[0].removesuffix("-inl")


def tests_of(source: str) -> set[str]:
    """Returns the paths that a source's own test may have."""
    folder, stem = Path("tests") / Path(source).parent, stem_of(source)
    if folder.parts[1:4] == ("client", "python", "lossd"):
        folder = Path("tests/client/python")
    return {str(folder / f"{stem}_test.cc"), str(folder / f"test_{stem}.py")}


def sources(files: list[str]) -> list[str]:
    return [
        name
        for name in files
        if name.startswith(tuple(f"{room}/" for room in ROOMS))
        and name.endswith(SOURCES)
        and not name.endswith("__init__.py")
        and Path(name).name not in PROGRAMS
    ]


def uncovered(files: list[str]) -> list[str]:
    """Returns the sources without a test."""
    known = set(files)
    return [
        name for name in sources(files) if not tests_of(name) & known and name not in COVERED_BY
    ]


def stale(files: list[str]) -> list[str]:
    """Returns the entries of COVERED_BY that name a missing file or a source with its own test."""
    known = set(files)
    return [
        source
        for source, test in COVERED_BY.items()
        if source not in known or test not in known or tests_of(source) & known
    ]


def strays(files: list[str]) -> list[str]:
    """Returns the tests in a folder that mirrors no folder of sources."""
    folders = {str(Path(name).parent) for name in files if name.startswith(ROOMS)}
    folders.add("client/python")
    tests = [name for name in files if name.endswith("_test.cc") or "/test_" in name]
    return [
        name
        for name in tests
        if name.split("/")[1] not in WHOLE
        and str(Path(name).parent.relative_to("tests")) not in folders
    ]
