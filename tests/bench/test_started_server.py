"""The bench waits for a peer that only prints that it has started."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))
from started_server import Transcript  # noqa: E402

# A wait of so many seconds outlasts the time limit of any test.
FOREVER = 1e6


def program(code: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


def test_the_line_is_awaited_and_later_output_is_copied(tmp_path: Path) -> None:
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


def test_waiting_stops_when_the_program_ends_without_the_line(tmp_path: Path) -> None:
    with program("print('no port left')") as process:
        assert process.stdout is not None
        transcript = Transcript(process.stdout, tmp_path / "log", "Started")
        assert not transcript.wait_for_words(FOREVER)
        transcript.wait_for_end(FOREVER)
    assert (tmp_path / "log").read_text() == "no port left\n"


def test_output_larger_than_a_pipe_does_not_block_the_program(tmp_path: Path) -> None:
    code = "print('Started'); [print('x' * 999) for _ in range(2000)]"
    with program(code) as process:
        assert process.stdout is not None
        transcript = Transcript(process.stdout, tmp_path / "log", "Started")
        assert transcript.wait_for_words(FOREVER)
        assert process.wait() == 0
        transcript.wait_for_end(FOREVER)
    assert (tmp_path / "log").stat().st_size == len("Started\n") + 2000 * 1000
