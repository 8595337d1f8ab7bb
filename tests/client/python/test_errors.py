"""Tests of the errors that a call raises, with a server whose answers a test chooses."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import grpc
import lossd
import numpy as np
import pytest
from lossd import conversion

LOGITS = np.zeros(2, dtype=np.float32)
Ask = Callable[[str], Any]


@contextlib.contextmanager
def refusing_server(code: grpc.StatusCode, message: str, pushback: str | None) -> Iterator[str]:
    """Yields the address of a server that answers every ComputeLoss with this status."""

    def refuse(request: bytes, context: grpc.ServicerContext) -> bytes:
        if pushback is not None:
            context.set_trailing_metadata((("grpc-retry-pushback-ms", pushback),))
        context.abort(code, message)
        raise AssertionError("abort() raises")

    service, method = conversion.COMPUTE_LOSS.strip("/").split("/")
    handlers = {method: grpc.unary_unary_rpc_method_handler(refuse)}
    server = grpc.server(futures.ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def ask_blocking(address: str) -> None:
    with lossd.Client(address) as client:
        client.compute_loss(LOGITS, LOGITS, timeout=30)


def ask_asyncio(address: str) -> None:
    async def ask() -> None:
        async with lossd.AsyncClient(address) as client:
            await client.compute_loss(LOGITS, LOGITS, timeout=30)

    asyncio.run(ask())


def ask_blocking_for(address: str, timeout: float) -> None:
    with lossd.Client(address) as client:
        client.compute_loss(LOGITS, LOGITS, timeout=timeout)


def ask_asyncio_for(address: str, timeout: float) -> None:
    async def ask() -> None:
        async with lossd.AsyncClient(address) as client:
            await client.compute_loss(LOGITS, LOGITS, timeout=timeout)

    asyncio.run(ask())


both = pytest.mark.parametrize("ask", [ask_blocking, ask_asyncio])


@both
def test_a_refusal_has_the_servers_code_and_message(ask: Ask) -> None:
    with (
        refusing_server(grpc.StatusCode.INVALID_ARGUMENT, "targets: 1.5", None) as address,
        pytest.raises(lossd.LossdError, match="INVALID_ARGUMENT: targets: 1.5") as raised,
    ):
        ask(address)
    assert raised.value.code == grpc.StatusCode.INVALID_ARGUMENT
    assert raised.value.message == "targets: 1.5"
    assert raised.value.retry_after is None


@both
@pytest.mark.parametrize(
    ("pushback", "seconds"), [("250", 0.25), ("0", 0.0), ("-1", None), ("soon", None)]
)
def test_the_time_to_come_again_is_in_seconds(
    ask: Ask, pushback: str, seconds: float | None
) -> None:
    with (
        refusing_server(grpc.StatusCode.INTERNAL, "full", pushback) as address,
        pytest.raises(lossd.LossdError) as raised,
    ):
        ask(address)
    assert raised.value.retry_after == seconds


@pytest.mark.parametrize("ask", [ask_blocking_for, ask_asyncio_for])
@pytest.mark.parametrize("timeout", [1e8, 1e10, 1e18, 1e300, float("inf")])
def test_a_time_that_nobody_sees_the_end_of_does_not_pass_at_once(
    ask: Callable[[str, float], None], timeout: float
) -> None:
    with (
        refusing_server(grpc.StatusCode.INTERNAL, "asked", None) as address,
        pytest.raises(lossd.LossdError, match="INTERNAL: asked"),
    ):
        ask(address, timeout)
