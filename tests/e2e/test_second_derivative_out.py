"""A caller's place receives the second derivative, whichever way the call takes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import lossd
import numpy as np
import pytest
from running_server import RunningServer, running_server

SHAPE = (300, 500)
OPTIONS: dict[str, Any] = {"second_derivative": True, "reduction": "sum"}


@pytest.fixture(scope="module", name="socket")
def socket_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("server") / "socket"


@pytest.fixture(scope="module", name="server")
def start_server(socket: Path) -> Iterator[RunningServer]:
    with running_server(f"--shared_memory_socket={socket}") as server:
        yield server


def blocking(target: str, *arrays: Any, above: int = 1 << 40, **options: Any) -> Any:
    memory = options.pop("memory", None)
    with lossd.Client(target, stream_above_bytes=above, shared_memory=memory) as client:
        return client.compute_loss(*arrays, **options)


def asynchronous(target: str, *arrays: Any, above: int = 1 << 40, **options: Any) -> Any:
    memory = options.pop("memory", None)

    async def call() -> Any:
        async with lossd.AsyncClient(
            target, stream_above_bytes=above, shared_memory=memory
        ) as client:
            return await client.compute_loss(*arrays, **options)

    return asyncio.run(call())


@pytest.fixture(params=[blocking, asynchronous], name="compute")
def either_client(request: pytest.FixtureRequest) -> Any:
    return request.param


def batch() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(7)
    logits = random.normal(0, 9, SHAPE).astype(np.float32)
    return logits, (random.random(SHAPE) < 0.5).astype(np.float32)


@pytest.mark.parametrize("above", [1 << 40, 0])  # one message, and a stream
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_places_in_ordinary_memory_are_copied_to(
    server: RunningServer, compute: Any, above: int, dtype: Any
) -> None:
    expected = compute(server.address, *batch(), gradient_dtype=dtype, **OPTIONS)
    second_out, out = np.zeros(SHAPE, dtype), np.zeros(SHAPE, dtype)
    for places in (
        {"second_derivative_out": second_out},
        {"second_derivative_out": second_out, "gradient_out": out},
    ):
        second_out[:] = 0
        found = compute(server.address, *batch(), above=above, **places, **OPTIONS)
        assert (found.execution.batch_requests is None) == (above == 0)  # a stream has no batch
        assert found.second_derivative is second_out
        assert second_out.tobytes() == expected.second_derivative.tobytes()
        assert found.gradient.tobytes() == expected.gradient.tobytes()
    assert found.gradient is out


def test_the_server_writes_to_places_in_shared_memory(
    server: RunningServer, socket: Path, compute: Any
) -> None:
    expected = compute(server.address, *batch(), **OPTIONS)
    with lossd.SharedMemory(socket) as memory:
        logits, targets, out, second_out = (memory.allocate(SHAPE, np.float32) for _ in range(4))
        logits[:], targets[:] = batch()
        places = {"gradient_out": out, "second_derivative_out": second_out}
        found = compute(server.address, logits, targets, memory=memory, **places, **OPTIONS)
        assert found.loss == expected.loss
        assert found.second_derivative is second_out
        assert second_out.tobytes() == expected.second_derivative.tobytes()
        assert out.tobytes() == expected.gradient.tobytes()
        # One of them elsewhere comes in the reply.
        own = np.zeros(SHAPE, np.float32)
        places = {"gradient_out": own, "second_derivative_out": second_out}
        compute(server.address, logits, targets, memory=memory, **places, **OPTIONS)
        assert own.tobytes() == expected.gradient.tobytes()
        places = {"gradient_out": out, "second_derivative_out": logits}
        with pytest.raises(lossd.LossdError, match="overlap") as raised:
            compute(server.address, logits, targets, memory=memory, **places, **OPTIONS)
        assert raised.value.code == grpc.StatusCode.INVALID_ARGUMENT


def test_repeated_calls_of_the_same_places_see_new_values(
    server: RunningServer, socket: Path
) -> None:
    with (
        lossd.SharedMemory(socket) as memory,
        lossd.Client(server.address, shared_memory=memory) as client,
    ):
        logits, targets, out, second_out = (memory.allocate(SHAPE, np.float32) for _ in range(4))
        logits[:], targets[:] = batch()
        for _ in range(3):
            logits *= 0.5
            second_out[:] = 0
            found = client.compute_loss(
                logits, targets, gradient_out=out, second_derivative_out=second_out, **OPTIONS
            )
            expected = client.compute_loss(logits.copy(), targets.copy(), **OPTIONS)
            assert found.second_derivative is second_out
            assert second_out.tobytes() == expected.second_derivative.tobytes()
            assert found.loss == expected.loss


def test_a_tensor_of_pytorch_is_a_place(server: RunningServer) -> None:
    torch = pytest.importorskip("torch")
    logits, targets = map(torch.from_numpy, batch())
    second_out = torch.zeros(SHAPE, dtype=torch.bfloat16)
    with lossd.Client(server.address) as client:
        found = client.compute_loss(logits, targets, second_derivative_out=second_out, **OPTIONS)
        expected = client.compute_loss(logits, targets, gradient_dtype="bfloat16", **OPTIONS)
    assert found.second_derivative is second_out
    assert torch.equal(second_out, expected.second_derivative)
