"""A large loss of the asyncio client, whose servers are not known, not there, or go away.

Each waits for names and connections without holding the event loop, and within its timeout.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from types import SimpleNamespace
from typing import Any

import grpc
import lossd
import numpy as np
import pytest
from lossd import _channel, lookups
from lossd.v1 import loss_service_pb2
from stand_in import Behavior, StandIn, standing_in

ZEROS = np.zeros(4, np.float32)
GRADIENT = np.arange(4, dtype=np.float32)
LARGE: dict[str, Any] = {"stream_above_bytes": 1}  # so that every loss is one
SECONDS = 60  # a test has failed by then
MANY = 200  # times that the servers are asked for; a loop that is held waits so long
Response = loss_service_pb2.StreamLossResponse
Summary = loss_service_pb2.StreamLossSummary


def streamed(requests: Iterator[bytes], _: grpc.ServicerContext) -> Iterator[bytes]:
    for _message in requests:
        pass
    yield Response(gradient=GRADIENT.tobytes()).SerializeToString()
    yield Response(summary=Summary(loss=0.5)).SerializeToString()


def broken_half_way(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
    next(requests)
    yield Response(gradient=bytes(8)).SerializeToString()
    context.abort(grpc.StatusCode.UNAVAILABLE, "gone")


class Fleet:
    """The servers of a client, which it asks for by calling this."""

    def __init__(self) -> None:
        self.addresses: list[str] = []
        self.asked = 0
        self.after_many: list[str] = []  # ends the wait of a loop that is held

    def __call__(self) -> list[str]:
        self.asked += 1
        return self.addresses if self.asked < MANY else self.after_many


@pytest.fixture(name="fleet")
def make_fleet(monkeypatch: pytest.MonkeyPatch) -> Fleet:
    monkeypatch.setattr(lookups, "_SOON_SECONDS", 0.05)
    monkeypatch.setattr(lookups, "_CALL_AGAIN_SECONDS", 0.0)
    return Fleet()


def vanishing(fleet: Fleet, client: lossd.AsyncClient) -> Behavior:
    """Returns the behavior of the last server that is known, which goes away."""

    def vanish(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        next(requests)
        fleet.addresses = []
        fleet.asked = 0
        assert client._lookups is not None
        while client._lookups.known:
            client._lookups._begin().wait(SECONDS)
        context.abort(grpc.StatusCode.UNAVAILABLE, "gone")
        yield b""

    return vanish


def ask(
    fleet: Fleet, use: Callable[[lossd.AsyncClient], Awaitable[Any]], *, patient: bool
) -> StandIn:
    """Lets `use` have a client whose only server goes away at the first request."""

    async def begin() -> None:
        async with client:
            await asyncio.wait_for(use(client), SECONDS)

    client = lossd.AsyncClient(fleet, wait_for_ready=patient, **LARGE)
    with standing_in(vanishing(fleet, client), streamed) as server:
        fleet.addresses = fleet.after_many = [server.address]
        asyncio.run(begin())
    return server


def test_names_that_are_not_known_yet_do_not_hold_the_loop(fleet: Fleet) -> None:
    async def compute(address: str) -> lossd.LossResult:
        async with lossd.AsyncClient(fleet, wait_for_ready=True, **LARGE) as client:
            waiting = asyncio.ensure_future(client.compute_loss(ZEROS, ZEROS, timeout=SECONDS))
            while fleet.asked < 2:
                await asyncio.sleep(0)
            assert not waiting.done()
            fleet.addresses = [address]
            return await waiting

    with standing_in(streamed) as server:
        fleet.after_many = [server.address]
        result = asyncio.run(compute(server.address))
    assert result.loss == 0.5
    assert result.gradient is not None
    assert result.gradient.tobytes() == GRADIENT.tobytes()
    assert fleet.asked < MANY


def test_what_looking_up_took_is_taken_from_the_timeout(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[float] = []

    def note(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        left.append(context.time_remaining())
        return streamed(requests, context)

    async def compute() -> None:
        async with lossd.AsyncClient(fleet, **LARGE) as client:
            await client.compute_loss(ZEROS, ZEROS, timeout=1000 + SECONDS)

    later = lookups.time.monotonic() + 1000
    monkeypatch.setattr(_channel, "time", SimpleNamespace(monotonic=lambda: later))
    with standing_in(note) as server:
        fleet.addresses = [server.address]
        asyncio.run(compute())
    assert 0 < left[0] <= SECONDS + 1


def test_a_stream_that_breaks_is_asked_for_from_its_beginning(fleet: Fleet) -> None:
    async def compute() -> lossd.LossResult:
        async with lossd.AsyncClient(fleet, **LARGE) as client:
            return await client.compute_loss(ZEROS, ZEROS, timeout=SECONDS)

    with standing_in(broken_half_way, streamed) as server:
        fleet.addresses = [server.address]
        result = asyncio.run(compute())
    assert server.streams == 2
    assert result.gradient is not None
    assert result.gradient.tobytes() == GRADIENT.tobytes()


def test_while_no_server_is_known_another_attempt_does_not_hold_the_loop(fleet: Fleet) -> None:
    async def use(client: lossd.AsyncClient) -> None:
        waiting = asyncio.ensure_future(client.compute_loss(ZEROS, ZEROS))
        while fleet.addresses or fleet.asked < 4:
            await asyncio.sleep(0)
        assert fleet.asked < MANY  # the loop went on while it waited
        fleet.addresses = fleet.after_many
        assert (await waiting).loss == 0.5

    assert ask(fleet, use, patient=True).streams == 2


def test_while_no_server_is_known_another_attempt_ends_at_its_time(fleet: Fleet) -> None:
    async def use(client: lossd.AsyncClient) -> None:
        late = r"^DEADLINE_EXCEEDED: no server .*: no server: Fleet\(\) returned none$"
        with pytest.raises(lossd.LossdError, match=late):
            await client.compute_loss(ZEROS, ZEROS, timeout=2)

    assert ask(fleet, use, patient=True).streams == 1


def test_without_a_server_an_attempt_of_who_does_not_wait_fails_at_once(fleet: Fleet) -> None:
    async def use(client: lossd.AsyncClient) -> None:
        with pytest.raises(lossd.LossdError, match=r"^UNAVAILABLE: no server: Fleet\(\) returned"):
            await client.compute_loss(ZEROS, ZEROS, timeout=SECONDS)

    assert ask(fleet, use, patient=False).streams == 1


def test_a_loss_that_waits_for_a_server_can_be_cancelled(fleet: Fleet) -> None:
    async def use(client: lossd.AsyncClient) -> None:
        waiting = asyncio.ensure_future(client.compute_loss(ZEROS, ZEROS))
        while fleet.addresses or fleet.asked < 4:
            await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting], timeout=SECONDS)
        assert waiting.cancelled()

    assert ask(fleet, use, patient=True).streams == 1


@pytest.mark.parametrize("patient", [False, True])
def test_a_server_that_is_away_is_said_or_waited_for(patient: bool) -> None:
    async def compute(address: str) -> None:
        async with lossd.AsyncClient(address, wait_for_ready=patient, **LARGE) as client:
            await client.compute_loss(ZEROS, ZEROS, timeout=0.2)

    with standing_in(streamed) as gone:
        pass
    expected = grpc.StatusCode.DEADLINE_EXCEEDED if patient else grpc.StatusCode.UNAVAILABLE
    with pytest.raises(lossd.LossdError) as raised:
        asyncio.run(compute(gone.address))
    assert raised.value.code is expected
    assert gone.streams == 0


def test_a_server_that_stands_still_is_waited_for_until_the_timeout() -> None:
    over = threading.Event()

    def silent(_: Iterator[bytes], __: grpc.ServicerContext) -> Iterator[bytes]:
        assert over.wait(SECONDS)
        yield from ()

    async def compute(address: str) -> None:
        async with lossd.AsyncClient([address], **LARGE) as client:
            with pytest.raises(lossd.LossdError, match="^DEADLINE_EXCEEDED: "):
                await client.compute_loss(ZEROS, ZEROS, timeout=1)
            over.set()

    with standing_in(silent) as server:
        asyncio.run(compute(server.address))
        assert server.streams == 1
