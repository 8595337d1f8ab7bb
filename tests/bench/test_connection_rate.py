"""The rate of connections counts those that a server answered."""

from __future__ import annotations

import itertools
import socket
import sys
import threading
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))
import connection_rate  # noqa: E402


class Answering:
    """Accepts connections at `target`, counts them, and sends each `answer`."""

    def __init__(self, answer: bytes) -> None:
        self.accepted = 0
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.target = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                self.accepted += 1
                connection.recv(4096)
                connection.sendall(self._answer)

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a second pass with each look at the clock."""
    seconds = itertools.count()
    monkeypatch.setattr(connection_rate.time, "monotonic", lambda: float(next(seconds)))


@pytest.mark.usefixtures("clock")
def test_the_rate_is_that_of_answered_connections() -> None:
    server = Answering(b"frame")
    try:
        # The clock is looked at before and after the first batch, and at the end.
        rate = connection_rate.connections_per_second(server.target, seconds=2)
    finally:
        server.stop()
    assert rate == server.accepted / 3


def test_a_connection_that_is_closed_unanswered_is_an_error() -> None:
    server = Answering(b"")
    try:
        with pytest.raises(RuntimeError, match=f"{server.target} closed a connection"):
            connection_rate.connections_per_second(server.target, seconds=1)
    finally:
        server.stop()
