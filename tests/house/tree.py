"""Lists the files that git tracks, which a plain copy of the tree cannot tell."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def tracked_files() -> list[str]:
    """Returns the paths that git tracks, relative to ROOT: none if ROOT is no git repository."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return listed.stdout.splitlines()


FILES = tracked_files()
needs_git = pytest.mark.skipif(not FILES, reason="git lists no files of this copy of the tree")
