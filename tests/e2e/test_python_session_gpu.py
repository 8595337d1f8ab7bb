"""Sessions of the Python clients lend GPU tensors to the whole server on fake devices."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import lossd
import numpy as np
import pytest
import test_cuda_tensors as cuda_tensors
from running_server import RunningServer, stopped
from stub_gpu import StubGpus, StubTorch, cuda_array
from test_cuda_tensors import CASES, LOGITS, TARGETS, same

socket_path = cuda_tensors.socket_path
start_server = cuda_tensors.start_server
start_gpus = cuda_tensors.start_gpus
pretend_torch = cuda_tensors.pretend_torch
connect = cuda_tensors.connect
client_with_memory = cuda_tensors.client_with_memory
client_that_sends = cuda_tensors.client_that_sends


@pytest.fixture(name="session")
def open_session(client: lossd.Client) -> Iterator[lossd.Session]:
    with client.session() as session:
        yield session


@pytest.mark.parametrize("options", CASES.values(), ids=CASES.keys())
def test_arrays_on_a_gpu_give_the_bits_of_arrays_that_are_sent(
    gpus: StubGpus, session: lossd.Session, by_value: lossd.Client, options: dict[str, Any]
) -> None:
    on_gpu = {
        name: cuda_array(gpus, value) if isinstance(value, np.ndarray) else value
        for name, value in options.items()
    }
    out = cuda_array(gpus, np.full_like(LOGITS, np.nan))
    tensors: Any = (cuda_array(gpus, LOGITS), cuda_array(gpus, TARGETS))
    named = session.compute_loss(*tensors, gradient_out=out, **on_gpu)
    sent = by_value.compute_loss(LOGITS, TARGETS, **options)
    same(named, sent)
    assert named.gradient is out
    assert out.host.tobytes() == sent.gradient.tobytes()


def test_many_requests_have_their_gradients_on_the_gpu_of_their_logits(
    torch: StubTorch, session: lossd.Session, by_value: lossd.Client
) -> None:
    tensors: Any = (torch.tensor(LOGITS), torch.tensor(TARGETS))
    futures = [session.submit(*tensors) for _ in range(50)]
    sent = by_value.compute_loss(LOGITS, TARGETS)
    for future in futures:
        gradient = future.result().gradient
        assert str(gradient.device) == "cuda:0"
        assert gradient.host.tobytes() == sent.gradient.tobytes()
    assert torch.synchronized


def test_a_session_of_the_asyncio_client_lends_tensors_too(
    server: RunningServer, gpus: StubGpus, memory: lossd.SharedMemory, by_value: lossd.Client
) -> None:
    out = cuda_array(gpus, np.zeros_like(LOGITS))
    tensors: Any = (cuda_array(gpus, LOGITS), cuda_array(gpus, TARGETS))

    async def ask() -> lossd.LossResult:
        async with (
            lossd.AsyncClient(server.address, shared_memory=memory) as client,
            client.session() as session,
        ):
            return await session.compute_loss(*tensors, gradient_out=out)

    named, sent = asyncio.run(ask()), by_value.compute_loss(LOGITS, TARGETS)
    same(named, sent)
    assert out.host.tobytes() == sent.gradient.tobytes()


def test_memory_of_requests_that_were_given_up_stays_allocated(
    server: RunningServer,
    torch: StubTorch,
    memory: lossd.SharedMemory,
    client: lossd.Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept: list[Any] = []
    monkeypatch.setattr(memory, "_keep_for_a_while", kept.append)
    tensors: Any = (torch.tensor(LOGITS), torch.tensor(TARGETS))
    out = torch.tensor(np.zeros_like(LOGITS))
    session = client.session()
    session.compute_loss(*tensors)
    assert session._stream is not None
    waiting = session._stream._entries._waiting
    with stopped(server):
        future = session.submit(*tensors, gradient_out=out)
        while waiting:
            pass  # gRPC's thread takes it
        session.close(cancel_futures=True)
    assert future.cancelled()
    assert len(kept) == 1
    assert kept[0] is out
