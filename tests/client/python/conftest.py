"""Fixtures for tensors on stub GPUs and a stand-in for the server's shared memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import lossd
import pytest
from region_server import RegionServer, region_server
from stub_gpu import StubGpus, StubTorch, stub_gpus, stub_torch


@pytest.fixture(name="gpus")
def start_gpus() -> Iterator[StubGpus]:
    with stub_gpus() as gpus:
        yield gpus


@pytest.fixture(name="torch")
def pretend_torch(gpus: StubGpus) -> Iterator[StubTorch]:
    with stub_torch(gpus) as torch:
        yield torch


@pytest.fixture(name="server")
def start_server(tmp_path: Path) -> Iterator[RegionServer]:
    with region_server(tmp_path) as (_, server):
        yield server


@pytest.fixture(name="memory")
def connect(server: RegionServer, tmp_path: Path) -> Iterator[lossd.SharedMemory]:
    with lossd.SharedMemory(tmp_path / "regions") as memory:
        yield memory
