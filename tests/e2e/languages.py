"""The programs that client/languages/build.sh builds."""

from __future__ import annotations

from pathlib import Path

import pytest

ALL = ("go", "node", "java")

_BUILT = Path(__file__).parents[2] / "build" / "languages"


def command(language: str, program: str) -> list[str]:
    """Returns the command of "retry" or "smoke"; skips the test if it could not be built."""
    if not (_BUILT / f"{language}.built").exists():
        missing = _BUILT / f"{language}.missing"
        reason = "client/languages/build.sh has not run"
        pytest.skip(f"{language}: {missing.read_text().strip() if missing.exists() else reason}")
    if language == "go":
        return [str(_BUILT / "go" / "bin" / program)]
    if language == "node":
        return ["node", str(_BUILT / "node" / f"{program}.js")]
    target = _BUILT / "java" / "target"
    return ["java", "-cp", f"{target}/*:{target}/lib/*", f"lossd.sample.{program.capitalize()}"]
