"""How the bench waits for a peer that only prints that it has started."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))
from started_server import Transcript  # noqa: E402

# Longer than any test may take: whoever waits for it hangs.
FOREVER = 1e6


def program(code: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


def test_the_line_is_waited_for_and_what_follows_is_copied_too(tmp_path: Path) -> None:
    code = "print('starting', flush=True); input(); print('now Started it', flush=True); input()"
    with program(code + "; print('more')") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        transcript = Transcript(process.stdout, tmp_path / "log", "Started")
        assert not transcript.wait_for_words(0)
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert transcript.wait_for_words(FOREVER)
        assert process.poll() is None
        process.stdin.write(b"\n")
        process.stdin.flush()
        transcript.wait_for_end(FOREVER)
    assert (tmp_path / "log").read_text() == "starting\nnow Started it\nmore\n"


def test_a_program_that_ends_without_it_is_not_waited_for(tmp_path: Path) -> None:
    with program("print('no port left')") as process:
        assert process.stdout is not None
        transcript = Transcript(process.stdout, tmp_path / "log", "Started")
        assert not transcript.wait_for_words(FOREVER)
        transcript.wait_for_end(FOREVER)
    assert (tmp_path / "log").read_text() == "no port left\n"


def test_more_than_a_pipe_holds_stops_nobody(tmp_path: Path) -> None:
    code = "print('Started'); [print('x' * 999) for _ in range(2000)]"
    with program(code) as process:
        assert process.stdout is not None
        transcript = Transcript(process.stdout, tmp_path / "log", "Started")
        assert transcript.wait_for_words(FOREVER)
        assert process.wait() == 0
        transcript.wait_for_end(FOREVER)
    assert (tmp_path / "log").stat().st_size == len("Started\n") + 2000 * 1000
