"""The server keeps to the processors and the memory that it is given.

Control groups are tried where this process may make them (cgroup 1, as root); elsewhere those
tests are skipped.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lossd
import numpy as np
import pytest
from running_server import BINARIES, RunningServer, running_server

MIB = 1 << 20
GROUPS = Path("/sys/fs/cgroup")


class Group:
    """A control group of cgroup 1, with the processes that are started in it."""

    def __init__(self, limits: dict[str, int]) -> None:
        self._folders: list[Path] = []
        for file, value in limits.items():
            folder = GROUPS / file.split(".")[0] / f"lossd_test_{os.getpid()}"
            if not folder.parent.is_dir() or not os.access(folder.parent, os.W_OK):
                pytest.skip(f"no control groups can be made below {folder.parent}")
            folder.mkdir(exist_ok=True)
            self._folders.append(folder)
            (folder / file).write_text(str(value))

    @property
    def start(self) -> list[str]:
        """Returns a command that runs the rest of its line in the group."""
        join = "".join(f"echo $$ > {folder}/cgroup.procs; " for folder in self._folders)
        return ["sh", "-c", f'{join}exec "$0" "$@"']

    def read(self, file: str) -> int:
        folder = next(f for f in self._folders if (f / file).exists())
        return int((folder / file).read_text())

    def remove(self) -> None:
        for folder in set(self._folders):
            folder.rmdir()


@pytest.fixture
def small_group() -> Iterator[Group]:
    group = Group({"memory.limit_in_bytes": 256 * MIB, "cpu.cfs_quota_us": 50_000})
    yield group
    group.remove()


def gauge(server: RunningServer, name: str) -> float:
    with urllib.request.urlopen(f"http://{server.metrics}/metrics", timeout=10) as page:
        lines = page.read().decode().splitlines()
    return float(next(line.split()[-1] for line in lines if line.startswith(f"{name} ")))


def load(server: RunningServer, *flags: str) -> dict[str, Any]:
    done = subprocess.run(
        [str(BINARIES / "client/lossbench"), f"--target={server.address}", "--json", *flags],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    report: dict[str, Any] = json.loads(done.stdout or "{}")
    return report


def test_an_affinity_of_one_starts_one_executor() -> None:
    cpu = min(os.sched_getaffinity(0))
    with running_server(under=("taskset", "-c", str(cpu))) as server:
        assert gauge(server, "lossd_executors") == 1


def test_half_a_processor_starts_one_executor(small_group: Group, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("w") as file, running_server(under=small_group.start, log=file) as server:
        assert gauge(server, "lossd_executors") == 1
    assert "quota of 50000/" in log.read_text()


def test_requests_of_40_megabytes_in_256_mebibytes(small_group: Group) -> None:
    with running_server(under=small_group.start) as server:
        budget = gauge(server, "lossd_max_inflight_bytes")
        assert 60e6 < budget < 256 * MIB
        # Each request has 20 MB of logits and of targets, and a reply of 20 MB.
        report = load(
            server,
            "--elements=5000000",
            "--channels=24",
            "--concurrency=24",
            "--duration=5s",
            "--warmup=0s",
            "--timeout=60s",
        )
        assert report["requests"] > 0
        assert set(report["errors"]) <= {"RESOURCE_EXHAUSTED"}
        assert server.process.poll() is None
        assert small_group.read("memory.max_usage_in_bytes") <= 256 * MIB
        with lossd.Client(server.address) as client:
            assert client.compute_loss(np.zeros(4), np.zeros(4)).valid_count == 4


# The sanitizers have a malloc() of their own, and reserve more addresses than any limit.
not_sanitized = pytest.mark.skipif(
    b"no memory left" not in (BINARIES / "server/lossd").read_bytes(), reason="sanitized build"
)


@not_sanitized
def test_a_limit_of_data_is_a_budget(tmp_path: Path) -> None:
    limit = 400 * MIB
    log = tmp_path / "log"
    with (
        log.open("w") as file,
        running_server(under=("prlimit", f"--data={limit}"), log=file) as server,
    ):
        assert 0 < gauge(server, "lossd_max_inflight_bytes") < limit / 2
        load(server, "--elements=5000000", "--channels=8", "--concurrency=8", "--duration=2s")
        assert server.process.poll() is None
    assert "RLIMIT_DATA" in log.read_text()


@not_sanitized
def test_an_allocation_that_fails_is_a_line(tmp_path: Path) -> None:
    """Limits that are set later than the start are not known to the budget."""
    log = tmp_path / "log"
    with log.open("w") as file, running_server(log=file) as server:
        status = Path(f"/proc/{server.process.pid}/status").read_text()
        used = int(status.split("VmData:")[1].split()[0]) * 1024
        most = used + 30 * MIB
        resource.prlimit(server.process.pid, resource.RLIMIT_DATA, (most, most))
        load(server, "--elements=8000000", "--concurrency=8", "--duration=1s", "--timeout=5s")
        code = server.process.wait(timeout=30)
    assert code == 1
    assert "no memory left" in log.read_text()
