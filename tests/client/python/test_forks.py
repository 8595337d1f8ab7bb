"""The end of a session's stream; tests/e2e/test_python_processes.py forks for real."""

from __future__ import annotations

import threading

from lossd import forks


def test_a_thread_that_has_not_begun_is_not_waited_for() -> None:
    """threading.enumerate() lists such threads, so one may be among those of a stream."""
    stream = forks.begin_stream()
    forks.end_stream(stream, [threading.Thread()])
    assert stream not in forks._streams


def test_a_thread_that_runs_is_waited_for() -> None:
    go = threading.Event()
    ended = threading.Event()

    def run() -> None:
        go.wait()
        ended.set()

    thread = threading.Thread(target=run)
    thread.start()
    stream = forks.begin_stream()
    go.set()
    forks.end_stream(stream, [thread])
    assert ended.is_set()
