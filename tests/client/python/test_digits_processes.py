"""The demo reports each failure of its server and workers, and leaves no process running."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "client" / "python" / "examples"))

from digits_data import Digits  # noqa: E402
from digits_model import Network  # noqa: E402
from digits_server import lossd_server  # noqa: E402
from digits_workers import Workers  # noqa: E402

READY = "lossd listening on 127.0.0.1:1 metrics on 127.0.0.1:2"


def program(folder: Path, body: str) -> Path:
    """Returns a program that first writes its process id to the file `pid` beside itself."""
    path = folder / "server"
    path.write_text(f"#!/bin/sh\necho $$ > {folder}/pid\n{body}\n")
    path.chmod(0o755)
    return path


def has_ended(folder: Path) -> bool:
    try:
        os.kill(int((folder / "pid").read_text()), 0)
    except ProcessLookupError:
        return True
    return False


def test_a_server_that_drains_has_ended_well(tmp_path: Path) -> None:
    path = program(tmp_path, f"trap 'exit 0' TERM; echo '{READY}'; while :; do read line; done")
    with lossd_server(path) as server:
        assert server.address == "127.0.0.1:1"
        assert server.metrics_url == "http://127.0.0.1:2/metrics"
    assert has_ended(tmp_path)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("echo 'Segmentation fault'; exec tail -f /dev/null", "its first line is 'Segmentation"),
        ("exec tail -f /dev/null", "no line within 0.5 s"),
        ("exit 3", "exit code 3"),
    ],
)
def test_a_server_that_is_not_ready_says_why(tmp_path: Path, body: str, message: str) -> None:
    with (
        pytest.raises(SystemExit, match=f"did not start: {message}"),
        lossd_server(program(tmp_path, body), start_seconds=0.5),
    ):
        raise AssertionError("it was ready")
    assert has_ended(tmp_path)


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(SystemExit, match="nothing did not start: No such file"),
        lossd_server(tmp_path / "nothing"),
    ):
        raise AssertionError("it was ready")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (f"trap '' TERM; echo '{READY}'; exec tail -f /dev/null", "within 0.5 s of SIGTERM"),
        (f"trap 'exit 7' TERM; echo '{READY}'; while :; do read line; done", "exit code 7"),
    ],
)
def test_a_server_that_does_not_drain_is_killed(tmp_path: Path, body: str, message: str) -> None:
    with (
        pytest.raises(SystemExit, match=f"lossd did not drain.*{message}"),
        lossd_server(program(tmp_path, body), drain_seconds=0.5),
    ):
        pass
    assert has_ended(tmp_path)


def test_a_worker_that_dies_is_named_and_no_other_is_left() -> None:
    images = np.zeros((8, 64))
    targets = np.zeros((8, 10), np.uint8)
    labels = np.zeros(8, int)
    digits = Digits(images, targets, images, labels)
    workers = Workers("127.0.0.1:1", digits, 2)  # no server is here
    with (
        pytest.raises(SystemExit, match="worker 0 died with exit code 1"),
        workers,
    ):
        workers.step(Network(seed=1).parameters)
    assert not any(process.is_alive() for process in workers._processes)
