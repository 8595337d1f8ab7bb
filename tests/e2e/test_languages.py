"""Generated clients in Go, Node and Java get the bits of the Python client."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc
import languages
import lossd
import numpy as np
import pytest
from running_server import RunningServer, running_server
from test_pushback import held_place

PROTOS = Path(__file__).parents[2] / "proto"
SHAPE = (1024, 1024)


@pytest.fixture(name="server", scope="module")
def start_server() -> Iterator[RunningServer]:
    with running_server() as server:
        yield server


@pytest.fixture(name="full", scope="module")
def start_full_server() -> Iterator[RunningServer]:
    """A server whose only place is taken."""
    with (
        running_server("--max_inflight_requests=1") as server,
        grpc.insecure_channel(server.address) as channel,
        held_place(channel),
    ):
        yield server


def reference() -> tuple[np.ndarray, np.ndarray, float, np.ndarray]:
    """Returns the logits and targets of the smoke clients, their mean loss and its gradient."""
    number = np.arange(np.prod(SHAPE), dtype=np.int64).reshape(SHAPE)
    logits = ((number * 37 % 257 - 128) / 16).astype(np.float32)
    targets = number % 3 == 0
    x = logits.astype(np.float64)
    loss = float(np.mean(np.maximum(x, 0) - x * targets + np.log1p(np.exp(-np.abs(x)))))
    return logits, targets, loss, (1 / (1 + np.exp(-x)) - targets) / x.size


@pytest.mark.parametrize("language", languages.ALL)
def test_a_generated_client_sends_and_reads_packed_bytes(
    language: str, server: RunningServer, full: RunningServer
) -> None:
    command = languages.command(language, "smoke")
    arguments = [str(PROTOS)] if language == "node" else []
    done = subprocess.run(
        [*command, server.address, full.address, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    seen = dict(line.split("=", 1) for line in done.stdout.splitlines())

    logits, targets, loss, slope = reference()
    with lossd.Client(server.address) as client:
        expected = client.compute_loss(logits, lossd.bits(targets))
    assert expected.gradient is not None
    np.testing.assert_allclose(expected.gradient, slope, rtol=1e-6, atol=0)
    assert expected.loss == pytest.approx(loss, rel=1e-7)
    assert float(seen["loss"]) == expected.loss
    assert seen["gradient_sha256"] == hashlib.sha256(expected.gradient.tobytes()).hexdigest()
    assert float(seen["gradient_1"]) == float(expected.gradient.flat[1])

    codes = {name: seen[name].upper().replace("_", "") for name in seen if "code" in name}
    assert codes == {
        "code_at_default_limit": "RESOURCEEXHAUSTED",
        "bad_code": "INVALIDARGUMENT",
        "full_code": "RESOURCEEXHAUSTED",
    }
    assert seen["bad_message"] == "targets[1]: 3 is not in [0, 1]"
    assert int(seen["full_pushback_ms"]) >= 10
