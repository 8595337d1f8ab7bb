"""The Python client lends PyTorch's tensors on a GPU to a server that computes there.

The tests are skipped without PyTorch, a GPU, or a lossd that was built with CUDA. To run them:
  LOSSD_BINARY_DIR=build/cuda python -m pytest tests/e2e/test_torch_cuda.py
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import lossd
import numpy as np
import pytest
from running_server import RunningServer, running_server

RANDOM = np.random.default_rng(5)
LOGITS = RANDOM.normal(0, 3, (300, 701)).astype(np.float32)
TARGETS = (RANDOM.random((300, 701)) < 0.3).astype(np.float32)


@pytest.fixture(name="torch")
def real_torch() -> Any:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("this machine has no GPU")
    return torch


@pytest.fixture(name="path")
def socket_path(tmp_path: Path) -> str:
    return str(tmp_path / "lossd")


@pytest.fixture(name="server")
def start_server(torch: Any, path: str) -> Iterator[RunningServer]:
    with running_server(f"--shared_memory_socket={path}") as server:
        with lossd.Client(server.address) as client:
            if not client.server_info().supports_device_memory:
                pytest.skip("this lossd does not compute on GPUs")
        yield server


@pytest.fixture(name="memory")
def connect(server: RunningServer, path: str) -> Iterator[lossd.SharedMemory]:
    with lossd.SharedMemory(path) as memory:
        yield memory


def bits_of(tensor: Any) -> bytes:
    return bytes(tensor.detach().cpu().contiguous().untyped_storage())


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_tensors_on_a_gpu_give_the_bits_of_tensors_that_are_sent(
    torch: Any, server: RunningServer, memory: lossd.SharedMemory, dtype: str
) -> None:
    logits = torch.tensor(LOGITS, dtype=getattr(torch, dtype))
    targets = torch.tensor(TARGETS, dtype=getattr(torch, dtype))
    options: dict[str, Any] = {"weights": RANDOM.random(701), "normalizer": "nonzero_weights"}
    place = torch.empty_like(logits)
    with lossd.Client(server.address) as client:
        sent = client.compute_loss(logits, targets, gradient_out=place, **options)
    with lossd.Client(server.address, shared_memory=memory) as client:
        on_gpu: Any = (logits.cuda().requires_grad_(), targets.cuda())
        named: Any = client.compute_loss(*on_gpu, **options)
        given = torch.full_like(on_gpu[0], torch.nan, requires_grad=False)
        again: Any = client.compute_loss(*on_gpu, gradient_out=given, **options)
    assert named.loss == again.loss == sent.loss
    assert again.gradient is given
    for gradient in (named.gradient, given):
        assert gradient.is_cuda
        assert gradient.dtype == logits.dtype
        assert bits_of(gradient) == bits_of(place)


def test_work_on_the_current_stream_is_waited_for(
    torch: Any, server: RunningServer, memory: lossd.SharedMemory
) -> None:
    logits, targets = torch.tensor(LOGITS).cuda(), torch.tensor(TARGETS).cuda()
    expected = None
    with lossd.Client(server.address, shared_memory=memory) as client:
        for _ in range(20):
            with torch.cuda.stream(torch.cuda.Stream()):
                late = torch.zeros_like(logits)
                for _ in range(50):
                    late = torch.sin(late)  # the stream is busy when the call begins
                late += logits
                result = client.compute_loss(late, targets)
            assert expected in (None, result.loss)
            expected = result.loss


def test_memory_is_lent_anew_after_the_cache_was_emptied(
    torch: Any, server: RunningServer, memory: lossd.SharedMemory
) -> None:
    with (
        lossd.Client(server.address, shared_memory=memory) as client,
        lossd.Client(server.address) as by_value,
    ):
        for factor in (1.0, -1.0, 2.0):
            logits = torch.tensor(LOGITS * factor).cuda()
            targets = torch.tensor(TARGETS).cuda()
            result: Any = client.compute_loss(logits, targets)
            assert result.loss == by_value.compute_loss(logits, targets).loss
            del logits, targets, result
            memory.release_device_memory()
            torch.cuda.empty_cache()


def test_an_allocation_lent_by_two_connections_stays_until_both_have_ended(
    torch: Any, server: RunningServer, path: str, memory: lossd.SharedMemory
) -> None:
    logits, targets = torch.tensor(LOGITS).cuda(), torch.tensor(TARGETS).cuda()
    losses = []
    with lossd.Client(server.address, shared_memory=memory) as client:
        losses.append(client.compute_loss(logits, targets).loss)
        with (
            lossd.SharedMemory(path) as other,
            lossd.Client(server.address, shared_memory=other) as beside,
        ):
            losses.append(beside.compute_loss(logits, targets).loss)
        losses.append(client.compute_loss(logits, targets).loss)
    assert losses == [losses[0]] * 3


def test_a_thread_without_a_cuda_context_lends_tensors_too(
    torch: Any, server: RunningServer, memory: lossd.SharedMemory
) -> None:
    logits, targets = torch.tensor(LOGITS).cuda(), torch.tensor(TARGETS).cuda()
    with (
        lossd.Client(server.address, shared_memory=memory) as client,
        ThreadPoolExecutor(1) as other,
    ):
        result: Any = other.submit(client.compute_loss, logits, targets).result()
        assert result.loss == client.compute_loss(logits, targets).loss
    assert result.gradient.is_cuda


def test_the_asyncio_client_lends_tensors_too(
    torch: Any, server: RunningServer, memory: lossd.SharedMemory
) -> None:
    async def ask() -> list[Any]:
        async with lossd.AsyncClient(server.address, shared_memory=memory) as client:
            logits, targets = torch.tensor(LOGITS).cuda(), torch.tensor(TARGETS).cuda()
            return await asyncio.gather(*(client.compute_loss(logits, targets) for _ in range(8)))

    results = asyncio.run(ask())
    assert all(result.gradient.is_cuda for result in results)
    assert len({bits_of(result.gradient) for result in results}) == 1
    assert len({result.loss for result in results}) == 1
