"""What the tests of lossd.torch share: a server for each file, and losses to compare with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from running_server import RunningServer, running_server

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module", name="socket")
def choose_socket(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("torch") / "regions"


@pytest.fixture(scope="module", name="server")
def start_server(socket: Path) -> Iterator[RunningServer]:
    with running_server(f"--shared_memory_socket={socket}") as server:
        yield server


def exact(logits: Any, targets: Any) -> Any:
    """Returns the cross-entropy of each element; autograd is right in both of its tails."""
    wide, wanted = logits.double(), targets.double()
    softplus = torch.nn.functional.softplus
    return wanted * softplus(-wide) + (1 - wanted) * softplus(wide)


def pair(*shape: int, dtype: Any = torch.float32) -> tuple[Any, Any]:
    """Returns logits, which ask for their gradient, and targets from 0 to 1."""
    generator = torch.Generator().manual_seed(11)
    logits = torch.randn(shape, generator=generator, dtype=torch.float64) * 4
    targets = torch.rand(shape, generator=generator, dtype=torch.float64) * 1.5 - 0.25
    targets = targets.clamp(0, 1)
    return logits.to(dtype).requires_grad_(), targets.to(dtype)
