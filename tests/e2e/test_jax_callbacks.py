"""How a computation of JAX calls the server: without copies, without waiting for itself."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import lossd
import numpy as np
import pytest
from running_server import running_server

jax = pytest.importorskip("jax")
jnp = jax.numpy
lossd_jax = pytest.importorskip("lossd.jax")

LOGITS = np.array([[0, -2, 2], [1, -1, 3]], np.float32)
TARGETS = np.array([[1, 0, 1], [0, 1, 0.5]], np.float32)
P = 1 / (1 + np.exp(-LOGITS.astype(float)))
LOSSES = -TARGETS * np.log(P) - (1 - TARGETS) * np.log(1 - P)


@pytest.fixture(scope="module", name="client")
def open_client() -> Iterator[lossd.Client]:
    with running_server() as server, lossd.Client(server.address) as client:
        yield client


def test_other_devices_than_the_cpu_call_with_copies(
    client: lossd.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jax.lax, "platform_dependent", lambda *of, cpu, default: default(*of))
    loss = lossd_jax.sigmoid_loss(client, reduction="none")
    total = jax.jit(jax.value_and_grad(lambda x: jax.vmap(loss)(x, TARGETS).sum()))
    value, gradient = total(LOGITS)
    assert value == pytest.approx(LOSSES.sum(), rel=1e-6)
    np.testing.assert_allclose(gradient, P - TARGETS, rtol=2e-6)
    ones = jnp.ones_like(LOGITS)
    product = jax.jvp(jax.grad(lambda x: loss(x, TARGETS).sum()), (LOGITS,), (ones,))[1]
    np.testing.assert_allclose(product, P * (1 - P), rtol=2e-6)


def test_a_stream_reads_no_memory_that_xla_takes_back(
    client: lossd.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lossd.Client(client._target, stream_above_bytes=0) as streaming:
        call = streaming.compute_loss
        own: list[bool] = []

        def record(*tensors: Any, **options: Any) -> Any:
            own.extend(tensor.flags.owndata for tensor in tensors)
            return call(*tensors, **options)

        monkeypatch.setattr(streaming, "compute_loss", record)
        loss = jax.jit(lossd_jax.sigmoid_loss(streaming, reduction="sum"))
        assert loss(LOGITS, TARGETS) == pytest.approx(LOSSES.sum(), rel=1e-6)
    assert own == [True, True]


# XLA has one thread here, in which steps run that wait for earlier ones.
ON_ONE_PROCESSOR = """
import faulthandler, os, sys
faulthandler.dump_traceback_later(50, exit=True)
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import jax, lossd, lossd.jax, numpy as np

inputs, targets = np.ones((1000, 20), np.float32), np.ones((1000, 300), np.float32)
with lossd.Client(sys.argv[1]) as client:
    loss = lossd.jax.sigmoid_loss(client)
    step = jax.jit(jax.value_and_grad(lambda w, x, t: loss(x @ w, t)))
    weights, values = np.zeros((20, 300), np.float32), []
    for _ in range(30):
        value, gradient = step(weights, inputs, targets)
        weights = weights - gradient
        values.append(value)
    print(float(values[0]), float(values[-1]))
"""


def test_large_tensors_do_not_wait_for_a_thread_that_is_in_the_call(client: lossd.Client) -> None:
    command = [sys.executable, "-c", ON_ONE_PROCESSOR, client._target]
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    first, last = map(float, done.stdout.split())
    assert first == pytest.approx(np.log(2), rel=1e-6)
    assert last < first
