"""The Python package works against a real server."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import lossd
import numpy as np
import pytest
from running_server import RunningServer, running_server


@pytest.fixture(scope="module", name="server")
def start_server() -> Iterator[RunningServer]:
    with running_server() as server:
        yield server


def exact(logits: np.ndarray, targets: np.ndarray) -> tuple[float, np.ndarray]:
    x, t = logits.astype(np.float64), targets.astype(np.float64)
    losses = np.maximum(x, 0) - x * t + np.log1p(np.exp(-np.abs(x)))
    return float(losses.mean()), (1 / (1 + np.exp(-x)) - t) / x.size


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("target_dtype", [np.float32, np.float64, np.uint8, np.bool_, np.int64])
def test_loss_and_gradient(server: RunningServer, dtype: type, target_dtype: type) -> None:
    random = np.random.default_rng(5)
    logits: np.ndarray = random.normal(0, 3, (40, 10)).astype(dtype)
    targets: np.ndarray = (random.random((40, 10)) < 0.5).astype(target_dtype)
    with lossd.Client(server.address) as client:
        result = client.compute_loss(logits, targets, request_id="mine")
    loss, gradient = exact(logits, targets)
    assert result.loss == pytest.approx(loss, rel=1e-6)
    assert result.gradient is not None
    assert result.gradient.dtype == dtype
    np.testing.assert_allclose(result.gradient, gradient, rtol=1e-5, atol=1e-9)
    assert result.request_id == "mine"
    assert result.execution.backend.startswith("cpu/")


def test_an_error_has_code_and_message(server: RunningServer) -> None:
    with lossd.Client(server.address) as client, pytest.raises(lossd.LossdError) as raised:
        client.compute_loss(np.zeros(3, dtype=np.float32), np.zeros(4, dtype=np.float32))
    assert raised.value.code == grpc.StatusCode.INVALID_ARGUMENT
    assert "targets" in raised.value.message
    assert raised.value.retry_after is None


def test_a_request_above_the_servers_limit_is_told_whose_limit_it_is() -> None:
    with (
        running_server("--max_message_bytes=65536") as server,
        lossd.Client(server.address) as client,
        pytest.raises(lossd.LossdError, match="larger than max") as raised,
    ):
        client.compute_loss(np.zeros(100_000), np.zeros(100_000))
    assert raised.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "--max_message_bytes" in raised.value.message
    assert "stream_above_bytes" in raised.value.message


def test_a_refused_request_says_when_to_retry() -> None:
    # The first request takes the only place for a second, because its batch stays open.
    with running_server("--max_inflight_requests=1", "--max_queue_delay=1s") as server:

        async def eight() -> list[lossd.LossResult | BaseException]:
            async with lossd.AsyncClient(server.address) as client:
                calls = [client.compute_loss(np.zeros(8), np.zeros(8)) for _ in range(8)]
                return await asyncio.gather(*calls, return_exceptions=True)

        results = asyncio.run(eight())
    refused = [r for r in results if isinstance(r, lossd.LossdError)]
    assert refused
    for error in refused:
        assert error.code == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert error.retry_after is not None
        assert error.retry_after > 0


def test_blocking_and_asyncio_clients_give_the_same_bits(server: RunningServer) -> None:
    logits = np.linspace(-20, 20, 999, dtype=np.float32)
    targets = (logits > 0).astype(np.uint8)

    async def ask() -> lossd.LossResult:
        async with lossd.AsyncClient(server.address) as client:
            return await client.compute_loss(logits, targets, reduction="none")

    with lossd.Client(server.address) as client:
        blocking = client.compute_loss(logits, targets, reduction="none")
    other = asyncio.run(ask())
    assert blocking.losses is not None
    assert other.losses is not None
    assert blocking.losses.tobytes() == other.losses.tobytes()


def test_closing_twice_is_fine(server: RunningServer) -> None:
    client = lossd.Client(server.address)
    client.compute_loss(np.zeros(1), np.zeros(1))
    client.close()
    client.close()

    async def close_twice() -> None:
        other = lossd.AsyncClient(server.address)
        await other.close()
        await other.close()

    asyncio.run(close_twice())


def test_a_deadline_that_passed_is_deadline_exceeded(server: RunningServer) -> None:
    with lossd.Client(server.address) as client, pytest.raises(lossd.LossdError) as raised:
        client.compute_loss(np.zeros(1 << 22), np.zeros(1 << 22), timeout=1e-6)
    assert raised.value.code == grpc.StatusCode.DEADLINE_EXCEEDED


def test_options_change_the_loss_as_documented(server: RunningServer) -> None:
    logits = np.linspace(-3, 3, 20).reshape(4, 5)
    targets = np.tile([0.0, 1.0, 0.0, 1.0, 1.0], (4, 1))
    weights = np.array([0.5, 1.0, 2.0, 0.25, 4.0])
    x, a = np.abs(logits), np.where(logits >= 0, 1 - targets, targets)
    weighted = (x * a + np.log1p(np.exp(-x))) * weights
    targets[2] = -1
    with lossd.Client(server.address) as client:
        result = client.compute_loss(
            logits,
            targets,
            weights=weights,
            ignore_target=-1,
            normalizer="valid",
            loss_weight=2,
            request_id="mine",
        )
    assert result.loss == pytest.approx(2 * np.delete(weighted, 2, axis=0).mean(), rel=1e-14)
    assert (result.valid_count, result.normalizer, result.request_id) == (15, 15, "mine")
    assert result.gradient is not None
    assert not result.gradient[2].any()
    assert result.gradient[[0, 1, 3]].all()


def test_messages_may_be_larger_than_grpcs_own_limit(server: RunningServer) -> None:
    logits = np.zeros((2, 1 << 20), np.float32)  # 8 MiB there and 8 MiB back
    with lossd.Client(server.address) as client:
        result = client.compute_loss(logits, np.zeros(logits.shape, np.uint8))
    assert result.loss == pytest.approx(np.log(2), rel=1e-7)
    assert result.gradient is not None
    assert result.gradient.shape == logits.shape


def test_a_token_is_sent_with_every_call(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("a-token-for-tests\n")
    with running_server(f"--token_file={tmp_path / 'tokens'}") as server:
        with lossd.Client(server.address, token="a-token-for-tests") as client:
            assert client.compute_loss(np.zeros(2), np.zeros(2)).loss > 0
        with lossd.Client(server.address) as client, pytest.raises(lossd.LossdError) as raised:
            client.compute_loss(np.zeros(2), np.zeros(2))
    assert raised.value.code == grpc.StatusCode.UNAUTHENTICATED


def test_a_call_uses_the_memory_of_the_one_before(server: RunningServer) -> None:
    program = f"""
import lossd, resource, numpy as np
x = np.zeros(1 << 20, np.float32)
with lossd.Client({server.address!r}) as client:
    for _ in range(5):
        client.compute_loss(x, x)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        client.compute_loss(x, x)
    print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) // 10)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert int(done.stdout) < 1500  # 8 MB of tensors are 2000 pages, which are copied twice


@pytest.mark.parametrize("name", ["README.md", "client/README.md"])
def test_the_example_of_the_readme_runs(server: RunningServer, name: str) -> None:
    readme = (Path(__file__).resolve().parents[2] / name).read_text(encoding="utf-8")
    example = readme.split("```python\n")[1].split("```")[0]
    done = subprocess.run(
        [sys.executable, "-c", example.replace("localhost:50051", server.address)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[0]) > 0
