"""A server with shared memory, for the tests of its clients."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from running_server import RunningServer, running_server

LIMIT = 8 << 20


@pytest.fixture(name="socket")
def socket_path(tmp_path: Path) -> str:
    return str(tmp_path / "lossd")


@pytest.fixture(name="server")
def start_server(socket: str) -> Iterator[RunningServer]:
    with running_server(
        f"--shared_memory_socket={socket}", f"--max_shared_memory_bytes={LIMIT}"
    ) as server:
        yield server


def shared_bytes(server: RunningServer) -> int:
    with urllib.request.urlopen(f"http://{server.metrics}/metrics", timeout=10) as page:
        found = re.search(r"^lossd_shared_memory_bytes (\S+)$", page.read().decode(), re.M)
    assert found is not None
    return int(float(found[1]))
