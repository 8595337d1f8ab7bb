"""Every client can send tensors larger than a message by StreamLoss."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import lossd
import numpy as np
import pytest
from running_server import RunningServer, lossbench, running_server

CLIENT_DIR = Path(os.environ.get("LOSSD_BINARY_DIR", "build/dev")) / "client"
SHAPE = (1003, 401)


@pytest.fixture(scope="module", name="server")
def start_server() -> Iterator[RunningServer]:
    with running_server() as server:
        yield server


def data(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    logits = random.normal(0, 3, SHAPE).astype(np.float32)
    targets = (random.random(SHAPE) < 0.3).astype(np.float32)
    return logits, targets, random.random(SHAPE).astype(np.float32)


def both(server: RunningServer, *arguments: Any, **options: Any) -> list[lossd.LossResult]:
    """Returns the results of one request, sent as one message and as a stream."""
    results = []
    for above in (1 << 40, 0):
        with lossd.Client(server.address, stream_above_bytes=above) as client:
            results.append(client.compute_loss(*arguments, **options))
    return results


def assert_same_bits(unary: lossd.LossResult, stream: lossd.LossResult) -> None:
    assert stream.loss == unary.loss
    assert stream.normalizer == unary.normalizer
    assert stream.valid_count == unary.valid_count
    assert stream.request_id == unary.request_id
    for a, b in ((unary.gradient, stream.gradient), (unary.losses, stream.losses)):
        assert (a is None) == (b is None)
        if a is not None and b is not None:
            assert a.dtype == b.dtype
            assert a.shape == b.shape
            assert a.tobytes() == b.tobytes()
            assert not b.flags.writeable


def options_of(case: str) -> dict[str, Any]:
    _, _, weights = data(2)
    return {
        "plain": {},
        "dense weights": {"weights": weights, "request_id": "mine"},
        "broadcast": {"pos_weight": weights[0], "weights": weights[:, :1]},
        "losses": {"reduction": "none", "upstream_gradient": weights},
        "scalar upstream": {"upstream_gradient": np.float32(0.7), "gradient_dtype": "bfloat16"},
        "no gradient": {"gradient": False, "normalizer": "weight_sum", "weights": weights},
        "focal": {"kind": "sigmoid_focal", "focal_gamma": 2.0, "normalizer": "batch"},
    }[case]


@pytest.mark.parametrize(
    "case",
    [
        "plain",
        "dense weights",
        "broadcast",
        "losses",
        "scalar upstream",
        "no gradient",
        "focal",
    ],
)
def test_a_stream_has_the_bits_of_the_unary_call(server: RunningServer, case: str) -> None:
    logits, targets, _ = data(1)
    assert_same_bits(*both(server, logits, targets, **options_of(case)))


def test_targets_of_every_form_stream(server: RunningServer) -> None:
    logits, targets, _ = data(3)
    for form in (
        lossd.identity(1),
        lossd.bits(targets),
        lossd.ones(np.arange(SHAPE[0] + 1), np.full(SHAPE[0], 7)),
        targets.astype(np.uint8),
    ):
        assert_same_bits(*both(server, logits, form))


def test_a_count_known_only_at_the_end_scales_the_gradient(server: RunningServer) -> None:
    logits, targets, _ = data(4)
    unary, stream = both(server, logits, targets, ignore_target=1.0, normalizer="valid")
    assert stream.loss == unary.loss
    assert stream.valid_count == unary.valid_count
    assert unary.gradient is not None
    assert stream.gradient is not None
    np.testing.assert_allclose(stream.gradient, unary.gradient, rtol=2e-7, atol=0)


def test_empty_and_rank_0_tensors_stream(server: RunningServer) -> None:
    for shape in ((0, 3), ()):
        logits = np.full(shape, 0.5, np.float32)
        assert_same_bits(*both(server, logits, np.zeros(shape, np.float32)))


def test_the_asyncio_client_streams(server: RunningServer) -> None:
    logits, targets, _ = data(5)

    async def four() -> list[lossd.LossResult]:
        async with lossd.AsyncClient(server.address, stream_above_bytes=0) as client:
            return await asyncio.gather(*(client.compute_loss(logits, targets) for _ in range(4)))

    with lossd.Client(server.address) as client:
        unary = client.compute_loss(logits, targets)
    for stream in asyncio.run(four()):
        assert_same_bits(unary, stream)


def test_an_error_has_code_and_message(server: RunningServer) -> None:
    logits, targets, _ = data(6)
    logits[900, 5] = np.nan
    with (
        lossd.Client(server.address, stream_above_bytes=0) as client,
        pytest.raises(lossd.LossdError) as raised,
    ):
        client.compute_loss(logits, targets)
    assert raised.value.code == grpc.StatusCode.INVALID_ARGUMENT
    assert f"logits[{900 * SHAPE[1] + 5}]: NaN" in raised.value.message


def test_a_request_that_no_message_can_hold_is_streamed_by_default(tmp_path: Path) -> None:
    count = 9 << 20
    logits = np.linspace(-5, 5, count, dtype=np.float32)
    targets = np.ones(count, np.float32)
    with running_server("--max_message_bytes=2000000") as server:
        with lossd.Client(server.address) as client:
            result = client.compute_loss(logits, targets)
        np.save(tmp_path / "logits.npy", logits)
        np.save(tmp_path / "targets.npy", targets)
        done = subprocess.run(
            [
                str(CLIENT_DIR / "lossctl"),
                "compute",
                f"--target={server.address}",
                f"--logits={tmp_path}/logits.npy",
                f"--targets={tmp_path}/targets.npy",
                f"--gradient_out={tmp_path}/gradient.npy",
                "--json",
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["loss"] == result.loss
    assert result.gradient is not None
    assert np.load(tmp_path / "gradient.npy").tobytes() == result.gradient.tobytes()


def test_lossbench_streams(server: RunningServer) -> None:
    report = lossbench(server, "--stream", "--elements=300000", "--requests=3", "--warmup=0s")
    assert report["requests"] == 3
    assert report["reply_bytes"] > 1_200_000
