"""Clients of several servers, with a stand-in that leaves or refuses what it is asked."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import grpc
import lossd
import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration
from lossd import session_stream
from lossd.v1 import loss_service_pb2
from stand_in import Behavior, greets, standing_in

ZEROS = np.zeros(4, np.float32)
Request = loss_service_pb2.ComputeLossesRequest
Answers = loss_service_pb2.ComputeLossesResponse
Failure = loss_service_pb2.Failure
UNAVAILABLE, RESOURCE_EXHAUSTED = 14, 8


def answers(message: bytes, failure: Failure | None = None) -> bytes:
    """Answers every request of a message alike; a loss is the attempts that it took."""
    response = loss_service_pb2.ComputeLossResponse(loss=0.5)
    entries = [
        Answers.Entry(id=entry.id, failure=failure)
        if failure
        else Answers.Entry(id=entry.id, response=response)
        for entry in Request.FromString(message).entries
    ]
    return Answers(entries=entries).SerializeToString()


@greets
def answering(requests: Iterator[bytes], _: grpc.ServicerContext) -> Iterator[bytes]:
    yield from map(answers, requests)


@greets
def breaking(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
    next(requests)
    context.abort(grpc.StatusCode.UNAVAILABLE, "gone")
    yield b""


@greets
def forbidding(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
    next(requests)
    context.abort(grpc.StatusCode.PERMISSION_DENIED, "not you")
    yield b""


@greets
def draining(requests: Iterator[bytes], _: grpc.ServicerContext) -> Iterator[bytes]:
    """Refuses everything, as a server does that drains."""
    for message in requests:
        yield answers(message, Failure(code=UNAVAILABLE, message="draining"))


@greets
def full_once(requests: Iterator[bytes], _: grpc.ServicerContext) -> Iterator[bytes]:
    full = Failure(code=RESOURCE_EXHAUSTED, message="full", retry_delay=Duration(nanos=20_000_000))
    yield answers(next(requests), full)
    yield from map(answers, requests)


def ask(
    address: Any, count: int, use_asyncio: bool, timeout: float = 30
) -> list[lossd.LossResult | BaseException]:
    """Returns the results and errors of requests that one session has under way at once."""
    if not use_asyncio:
        with lossd.Client(address) as client, client.session() as session:
            futures = [session.submit(ZEROS, ZEROS, timeout=timeout) for _ in range(count)]
            return [future.exception() or future.result() for future in futures]

    async def all_at_once() -> list[lossd.LossResult | BaseException]:
        async with lossd.AsyncClient(address) as client, client.session() as session:
            waiting = (session.compute_loss(ZEROS, ZEROS, timeout=timeout) for _ in range(count))
            return await asyncio.gather(*waiting, return_exceptions=True)

    return asyncio.run(all_at_once())


def codes(found: list[lossd.LossResult | BaseException]) -> set[object]:
    return {one.code if isinstance(one, lossd.LossdError) else type(one) for one in found}


@pytest.mark.parametrize("use_asyncio", [False, True])
@pytest.mark.parametrize("behavior", [breaking, draining, full_once])
def test_what_a_stream_leaves_or_refuses_is_answered_later(
    behavior: Behavior, use_asyncio: bool
) -> None:
    with standing_in(behavior, answering) as server:
        assert codes(ask([server.address], 100, use_asyncio)) == {lossd.LossResult}
        assert server.streams == (1 if behavior is full_once else 2)


@pytest.mark.parametrize("use_asyncio", [False, True])
def test_a_client_of_one_server_sends_nothing_again(use_asyncio: bool) -> None:
    with standing_in(breaking, answering) as server:
        assert codes(ask(server.address, 1, use_asyncio)) == {grpc.StatusCode.UNAVAILABLE}
    with standing_in(full_once) as server:
        assert codes(ask(server.address, 1, use_asyncio)) == {grpc.StatusCode.RESOURCE_EXHAUSTED}


@pytest.mark.parametrize("use_asyncio", [False, True])
def test_other_errors_are_reported_at_once(use_asyncio: bool) -> None:
    with standing_in(forbidding) as server:
        found = codes(ask([server.address], 1, use_asyncio))
        assert found == {grpc.StatusCode.PERMISSION_DENIED}
        assert server.streams == 1


@pytest.mark.parametrize("use_asyncio", [False, True])
def test_after_five_attempts_the_error_is_reported(use_asyncio: bool) -> None:
    with standing_in(breaking) as server:
        found = ask([server.address], 1, use_asyncio)
        assert codes(found) == {grpc.StatusCode.UNAVAILABLE}
        assert server.streams == 5


@pytest.mark.parametrize("use_asyncio", [False, True])
def test_a_loss_in_a_stream_of_its_own_is_sent_again_too(use_asyncio: bool) -> None:
    async def compute_async(address: str) -> None:
        async with lossd.AsyncClient([address], stream_above_bytes=1) as client:
            await client.compute_loss(ZEROS, ZEROS, timeout=30)

    def compute(address: str) -> None:
        with lossd.Client([address], stream_above_bytes=1) as client:
            client.compute_loss(ZEROS, ZEROS, timeout=30)

    with standing_in(breaking) as server:
        with pytest.raises(lossd.LossdError, match="^UNAVAILABLE: "):
            asyncio.run(compute_async(server.address)) if use_asyncio else compute(server.address)
        assert server.streams == 5


def test_what_waits_to_be_sent_again_can_be_cancelled() -> None:
    with standing_in(breaking, answering) as server, lossd.Client([server.address]) as client:
        session = client.session()
        future = session.submit(ZEROS, ZEROS)
        assert session._resends is not None
        while not session._resends._held:
            threading.Event().wait(0.001)
        session.close(cancel_futures=True)
        assert future.cancelled()


def test_closing_waits_for_what_is_sent_again() -> None:
    with standing_in(breaking, answering) as server, lossd.Client([server.address]) as client:
        with client.session() as session:
            future = session.submit(ZEROS, ZEROS)
        assert future.result(timeout=0).loss == 0.5
        with pytest.raises(ValueError, match="^this Session is closed"):
            session.submit(ZEROS, ZEROS)


def test_a_callback_of_what_is_sent_again_may_close_the_session() -> None:
    with standing_in(breaking, answering) as server, lossd.Client([server.address]) as client:
        session = client.session()
        closed = threading.Event()

        def close(_: object) -> None:
            session.close()
            closed.set()

        session.submit(ZEROS, ZEROS).add_done_callback(close)
        assert closed.wait(60)


def test_closing_an_asyncio_session_waits_for_what_is_sent_again() -> None:
    async def use(address: str) -> None:
        async with lossd.AsyncClient([address]) as client:
            session = client.session()
            first = asyncio.ensure_future(session.compute_loss(ZEROS, ZEROS))
            await asyncio.sleep(0)
            await session.close()
            assert (await first).loss == 0.5
            with pytest.raises(ValueError, match="^this AsyncSession is closed"):
                await session.compute_loss(ZEROS, ZEROS)

    with standing_in(breaking, answering) as server:
        asyncio.run(use(server.address))


def test_an_asyncio_session_cancels_what_waits_to_be_sent_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def use(address: str) -> None:
        async with lossd.AsyncClient([address]) as client:
            session = client.session()
            asked = asyncio.Event()

            def delay(*_: object) -> float:
                asked.set()
                return 3600.0

            monkeypatch.setattr(client._retries, "delay", delay)
            request = asyncio.ensure_future(session.compute_loss(ZEROS, ZEROS))
            await asked.wait()
            await session.close(cancel_futures=True)
            await asyncio.wait([request], timeout=60)
            assert request.cancelled()

    with standing_in(breaking) as server:
        asyncio.run(use(server.address))


def test_an_asyncio_session_cancels_what_a_draining_server_still_computes() -> None:
    read, over = threading.Event(), threading.Event()

    @greets
    def drain(requests: Iterator[bytes], _: grpc.ServicerContext) -> Iterator[bytes]:
        next(requests)
        read.set()
        yield answers(next(requests), Failure(code=UNAVAILABLE, message="draining"))
        over.wait(60)

    async def use(address: str) -> None:
        async with lossd.AsyncClient([address]) as client:
            session = client.session()
            long = asyncio.ensure_future(session.compute_loss(ZEROS, ZEROS))
            await asyncio.to_thread(read.wait)
            assert (await session.compute_loss(ZEROS, ZEROS)).loss == 0.5
            assert not long.done()
            await session.close(cancel_futures=True)
            await asyncio.wait([long], timeout=60)
            assert long.cancelled()
            over.set()

    with standing_in(drain, answering) as server:
        asyncio.run(use(server.address))
        assert server.streams == 2


def test_without_a_thread_to_send_it_again_a_request_has_its_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start = threading.Thread.start

    def start_others(thread: threading.Thread) -> None:
        if thread.name == "lossd resends":
            raise RuntimeError("can't start new thread")
        start(thread)

    with (
        standing_in(breaking, breaking, answering) as server,
        lossd.Client([server.address]) as client,
        client.session() as session,
    ):
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", start_others)
            with pytest.raises(lossd.LossdError, match="^UNAVAILABLE: gone"):
                session.compute_loss(ZEROS, ZEROS)
        assert session.compute_loss(ZEROS, ZEROS).loss == 0.5


def silent_until(over: threading.Event) -> Behavior:
    """Returns the behavior of a stream that is not answered, and ends when the test is over."""

    def silent(_: Iterator[bytes], __: grpc.ServicerContext) -> Iterator[bytes]:
        assert over.wait(60)
        yield from ()

    return silent


@pytest.mark.parametrize("use_asyncio", [False, True])
def test_a_server_that_does_not_begin_to_answer_is_left(
    use_asyncio: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()
    monkeypatch.setattr(session_stream, "GREETING_SECONDS", 0.2)
    with standing_in(silent_until(over), answering) as server:
        assert codes(ask([server.address], 10, use_asyncio)) == {lossd.LossResult}
        assert server.streams == 2
        over.set()


@pytest.mark.parametrize("use_asyncio", [False, True])
def test_a_request_of_a_list_that_times_out_names_its_timeout(use_asyncio: bool) -> None:
    over = threading.Event()
    with standing_in(silent_until(over)) as server:
        (error,) = ask([server.address], 1, use_asyncio, timeout=0.1)
        assert str(error) == "DEADLINE_EXCEEDED: no answer within the timeout of 0.1 s"
        over.set()


@pytest.mark.parametrize("use_asyncio", [False, True])
def test_one_server_may_take_its_time_to_begin(
    use_asyncio: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()
    monkeypatch.setattr(session_stream, "GREETING_SECONDS", 0.001)
    with standing_in(silent_until(over)) as server:
        found = codes(ask(server.address, 1, use_asyncio, timeout=0.1))
        assert found == {grpc.StatusCode.DEADLINE_EXCEEDED}
        over.set()


def test_the_budget_ends_grpcs_retries() -> None:
    """200 calls make 1,000 attempts without a budget; it allows 250 failures and what follows."""

    async def ask_all(address: str) -> list[Any]:
        async with lossd.AsyncClient([address]) as client:
            waiting = (client.compute_loss(ZEROS, ZEROS, timeout=30) for _ in range(200))
            return await asyncio.gather(*waiting, return_exceptions=True)

    with standing_in(answering) as server:
        assert codes(asyncio.run(ask_all(server.address))) == {grpc.StatusCode.UNAVAILABLE}
        assert 250 <= server.calls <= 500


def test_the_budget_of_a_client_ends_what_its_sessions_send_again() -> None:
    with standing_in(breaking) as server, lossd.Client([server.address]) as client:
        assert client._retries is not None
        client._retries._tokens = 2.5
        with client.session() as session:
            for _ in range(2):
                with pytest.raises(lossd.LossdError, match="^UNAVAILABLE: gone"):
                    session.compute_loss(ZEROS, ZEROS)
        assert server.streams == 4  # two requests, and two that were sent again


@pytest.mark.parametrize("use_asyncio", [False, True])
def test_while_no_server_is_known_requests_still_end_at_their_time(use_asyncio: bool) -> None:
    servers: list[str] = []

    @greets
    def vanishing(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        next(requests)
        servers.clear()
        lookups = client._lookups
        assert lookups is not None
        lookups._again_at = 0.0
        lookups._begin().wait(60)
        context.abort(grpc.StatusCode.UNAVAILABLE, "gone")
        yield b""

    def check(outcome: BaseException | None) -> None:
        assert isinstance(outcome, lossd.LossdError)
        assert outcome.code is grpc.StatusCode.DEADLINE_EXCEEDED
        assert "within the timeout of 2 s" in outcome.message  # and not of what was left of it

    async def ask() -> float:
        assert isinstance(client, lossd.AsyncClient)
        async with client, client.session() as session:
            patient = asyncio.ensure_future(session.compute_loss(ZEROS, ZEROS))
            with pytest.raises(lossd.LossdError) as hasty:
                await session.compute_loss(ZEROS, ZEROS, timeout=2)
            check(hasty.value)
            servers.append(server.address)
            return (await patient).loss

    with standing_in(vanishing, answering) as server:
        servers.append(server.address)
        kind = lossd.AsyncClient if use_asyncio else lossd.Client
        client = kind(lambda: list(servers), wait_for_ready=True)
        if use_asyncio:
            assert asyncio.run(ask()) == 0.5
            return
        assert isinstance(client, lossd.Client)
        with client, client.session() as session:
            patient = session.submit(ZEROS, ZEROS)
            check(session.submit(ZEROS, ZEROS, timeout=2).exception(60))
            servers.append(server.address)
            assert patient.result(60).loss == 0.5
