"""Sessions with servers that answer in their own ways, which a real one never would."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import grpc
import lossd
import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration
from lossd import entries
from lossd.v1 import loss_service_pb2

ZEROS = np.zeros(4, np.float32)
Request = loss_service_pb2.ComputeLossesRequest
Answers = loss_service_pb2.ComputeLossesResponse
Failure = loss_service_pb2.Failure
Behavior = Callable[[Iterator[bytes], grpc.ServicerContext], Iterable[bytes]]


def response(number: int, loss: float) -> bytes:
    answer = loss_service_pb2.ComputeLossResponse(loss=loss)
    return Answers(entries=[Answers.Entry(id=number, response=answer)]).SerializeToString()


@contextlib.contextmanager
def serving(*behaviors: Behavior) -> Iterator[str]:
    """Serves each stream by the next of the behaviors, and yields the address."""
    left = iter(behaviors)

    def answer(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterable[bytes]:
        context.send_initial_metadata(())  # at once, as lossd does
        yield from next(left)(requests, context)

    handlers = {"ComputeLosses": grpc.stream_stream_rpc_method_handler(answer)}
    with ThreadPoolExecutor(4) as threads:
        server = grpc.server(threads)
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("lossd.v1.LossService", handlers),)
        )
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield f"127.0.0.1:{port}"
        server.stop(None).wait()


def ids(message: bytes) -> list[int]:
    return [entry.id for entry in Request.FromString(message).entries]


def echo_ids(requests: Iterator[bytes], _: grpc.ServicerContext) -> Iterator[bytes]:
    """Answers each request alone, the last one of a message first, with its id as the loss."""
    for message in requests:
        for number in reversed(ids(message)):
            yield response(number, float(number))


def garbage(requests: Iterator[bytes], _: grpc.ServicerContext) -> Iterator[bytes]:
    next(requests)
    yield b"\x0a\x05garbage"
    yield from ()


def stranger(requests: Iterator[bytes], _: grpc.ServicerContext) -> Iterator[bytes]:
    next(requests)
    yield response(99, 1.0)


def silence(requests: Iterator[bytes], _: grpc.ServicerContext) -> Iterator[bytes]:
    next(requests)
    yield from ()


def refusal(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
    next(requests)
    context.abort(grpc.StatusCode.PERMISSION_DENIED, "not you")
    yield from ()


def emptiness(requests: Iterator[bytes], _: grpc.ServicerContext) -> Iterator[bytes]:
    (number,) = ids(next(requests))
    yield Answers(entries=[Answers.Entry(id=number)]).SerializeToString()


ENDS: dict[str, tuple[Behavior, str]] = {
    "garbage": (garbage, "INTERNAL: the reply is no ComputeLossesResponse: "),
    "a stranger's answer": (stranger, "INTERNAL: an answer has the id 99, which no request"),
    "silence": (silence, "UNAVAILABLE: the stream ended before the server answered"),
    "a refusal": (refusal, "PERMISSION_DENIED: not you"),
}
NEITHER = "INTERNAL: the answer has neither a response nor a failure"


@pytest.mark.parametrize("name", ENDS)
def test_the_reason_is_told_and_the_next_request_opens_another_stream(name: str) -> None:
    behavior, text = ENDS[name]
    with (
        serving(behavior, echo_ids) as address,
        lossd.Client(address) as client,
        client.session() as session,
    ):
        with pytest.raises(lossd.LossdError, match=f"^{text}"):
            session.compute_loss(ZEROS, ZEROS)
        assert session.compute_loss(ZEROS, ZEROS).loss == 1


def test_an_answer_without_an_outcome_is_an_error_of_the_server() -> None:
    with (
        serving(emptiness) as address,
        lossd.Client(address) as client,
        client.session() as session,
        pytest.raises(lossd.LossdError, match=f"^{NEITHER}"),
    ):
        session.compute_loss(ZEROS, ZEROS)


@pytest.mark.parametrize(("behavior", "text"), [*ENDS.values(), (emptiness, NEITHER)])
def test_the_asyncio_client_tells_the_reason_too(behavior: Behavior, text: str) -> None:

    async def ask(address: str) -> None:
        async with lossd.AsyncClient(address) as client, client.session() as session:
            with pytest.raises(lossd.LossdError, match=f"^{text}"):
                await session.compute_loss(ZEROS, ZEROS)

    with serving(behavior) as address:
        asyncio.run(ask(address))


def test_requests_that_wait_share_a_message_and_answers_come_in_any_order() -> None:
    messages: queue.SimpleQueue[list[int]] = queue.SimpleQueue()

    def record(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        def recorded() -> Iterator[bytes]:
            for message in requests:
                messages.put(ids(message))
                yield message

        return echo_ids(recorded(), context)

    with (
        serving(record) as address,
        lossd.Client(address) as client,
        client.session() as session,
    ):
        assert session.compute_loss(ZEROS, ZEROS).loss == 1
        assert session._stream is not None
        with session._stream._lock:  # the writer waits
            futures = [session.submit(ZEROS, ZEROS) for _ in range(100)]
        assert [future.result().loss for future in futures] == list(range(2, 102))
    assert messages.get() == [1]
    assert messages.get() == list(range(2, 102))


def test_a_failure_has_its_code_its_text_and_its_delay() -> None:
    failure = Failure(code=8, message="full", retry_delay=Duration(seconds=2, nanos=500_000_000))

    def refuse(requests: Iterator[bytes], _: grpc.ServicerContext) -> Iterator[bytes]:
        for message in requests:
            for number in ids(message):
                entry = Answers.Entry(id=number, failure=failure)
                yield Answers(entries=[entry]).SerializeToString()

    async def ask(address: str) -> None:
        async with lossd.AsyncClient(address) as client, client.session() as session:
            await session.compute_loss(ZEROS, ZEROS)

    def ask_blocking(address: str) -> None:
        with lossd.Client(address) as client, client.session() as session:
            session.compute_loss(ZEROS, ZEROS)

    for way in (ask_blocking, lambda address: asyncio.run(ask(address))):
        with serving(refuse) as address, pytest.raises(lossd.LossdError) as raised:
            way(address)
        error = raised.value
        assert error.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (error.message, error.retry_after) == ("full", 2.5)


def test_a_callback_that_would_wait_for_itself_is_told() -> None:
    raised: Future[BaseException] = Future()
    closed: Future[None] = Future()
    release: queue.SimpleQueue[None] = queue.SimpleQueue()

    def late(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        release.get()
        return echo_ids(requests, context)

    with serving(late) as address, lossd.Client(address) as client:
        session = client.session()

        def wait(_: Any) -> None:
            try:
                session.compute_loss(ZEROS, ZEROS)
            except BaseException as error:
                raised.set_result(error)
            session.close()  # waits for nothing here
            closed.set_result(None)

        session.submit(ZEROS, ZEROS).add_done_callback(wait)
        release.put(None)
        error = raised.result(timeout=60)
        assert isinstance(error, RuntimeError)
        assert str(error).startswith("a callback of a future would wait for its own thread")
        closed.result(timeout=60)
        with pytest.raises(ValueError, match="is closed"):
            session.submit(ZEROS, ZEROS)


def test_a_message_that_finds_no_connection_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    lost: queue.SimpleQueue[None] = queue.SimpleQueue()

    def lose(requests: Iterator[bytes], _: grpc.ServicerContext) -> Iterator[bytes]:
        (number,) = ids(next(requests))
        yield response(number, 1.0)
        lost.get()

    async def ask(address: str) -> None:
        async with lossd.AsyncClient(address) as client, client.session() as session:
            assert (await session.compute_loss(ZEROS, ZEROS)).loss == 1
            assert session._stream is not None
            call = session._stream._call

            async def write(_: bytes) -> None:  # as gRPC's own does in that case
                call._cython_call.set_internal_error("a batch could not be started")
                lost.put(None)
                await call._raise_for_status()

            monkeypatch.setattr(call, "write", write)
            with pytest.raises(
                lossd.LossdError, match="^UNAVAILABLE: the server or the connection"
            ):
                await session.compute_loss(ZEROS, ZEROS)
            assert (await session.compute_loss(ZEROS, ZEROS)).loss == 1

    with serving(lose, echo_ids) as address:
        asyncio.run(ask(address))


@pytest.mark.parametrize("name", ["lossd session", "lossd clock"])
def test_without_a_thread_a_request_is_not_sent(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start

    def start_others(thread: threading.Thread) -> None:
        if thread.name == name:
            raise RuntimeError("can't start new thread")
        start(thread)

    asked: queue.SimpleQueue[list[int]] = queue.SimpleQueue()

    def answer(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        for message in requests:
            asked.put(ids(message))
            yield from echo_ids(iter([message]), context)

    with (
        serving(answer, answer) as address,
        lossd.Client(address) as client,
        client.session() as session,
    ):
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", start_others)
            with pytest.raises(RuntimeError, match="^can't start new thread$"):
                session.submit(ZEROS, ZEROS, timeout=60)
        assert session.compute_loss(ZEROS, ZEROS, timeout=60).loss == 1
        assert asked.get() == [1]


def answering_after(release: threading.Event) -> Behavior:
    """Returns the behavior of a server that stands still, and then answers all it was asked."""

    def answer(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        first = next(requests)
        assert release.wait(60)
        for number in ids(first):
            yield response(number, 1.0)
        yield from echo_ids(requests, context)

    return answer


def test_late_answers_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entries, "MOST_UNANSWERED", 2)
    release = threading.Event()
    with (
        serving(answering_after(release)) as address,
        lossd.Client(address) as client,
        client.session() as session,
        ThreadPoolExecutor(1) as threads,
    ):
        late = [session.submit(ZEROS, ZEROS, timeout=2) for _ in range(2)]
        waiting = threads.submit(session.compute_loss, ZEROS, ZEROS)
        for future in late:
            error = future.exception(60)
            assert isinstance(error, lossd.LossdError)
            assert error.code is grpc.StatusCode.DEADLINE_EXCEEDED
        release.set()
        assert waiting.result(60).loss > 0


def test_a_callback_of_what_is_late_may_submit_although_the_bounds_are_reached(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(entries, "MOST_UNANSWERED", 2)
    release = threading.Event()
    again: Future[Future[Any]] = Future()
    with (
        serving(answering_after(release)) as address,
        lossd.Client(address) as client,
        client.session() as session,
    ):
        first = session.submit(ZEROS, ZEROS, timeout=0.5)
        second = session.submit(ZEROS, ZEROS, timeout=1)
        first.add_done_callback(
            lambda _: again.set_result(session.submit(ZEROS, ZEROS, timeout=1.5))
        )
        for future in (first, second, again.result(60)):
            assert isinstance(future.exception(60), lossd.LossdError)
        release.set()


def test_what_was_never_sent_leaves_no_place_taken() -> None:
    async def ask(address: str) -> int:
        async with lossd.AsyncClient(address) as client, client.session() as session:
            await session.compute_loss(ZEROS, ZEROS, timeout=60)
            for _ in range(3):
                with pytest.raises(lossd.LossdError, match="^DEADLINE_EXCEEDED"):
                    await session.compute_loss(ZEROS, ZEROS, timeout=1e-9)
            assert session._stream is not None
            return len(session._stream._entries)

    with serving(echo_ids) as address:
        assert asyncio.run(ask(address)) == 0


def test_without_a_thread_for_a_large_loss_the_session_still_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with serving() as address, lossd.Client(address, stream_above_bytes=1) as client:
        session = client.session()
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", refuse)
            with pytest.raises(RuntimeError, match="can't start"):
                session.submit(ZEROS, ZEROS)
        session.close()


def test_an_asyncio_session_that_closes_waits_for_what_is_under_way_alone() -> None:
    release = threading.Event()

    async def ask(address: str) -> float:
        async with lossd.AsyncClient([address]) as client:
            session = client.session()
            first = asyncio.ensure_future(session.compute_loss(ZEROS, ZEROS, timeout=60))
            while session._stream is None:
                await asyncio.sleep(0)
            closing = asyncio.ensure_future(session.close())
            await asyncio.sleep(0)
            with pytest.raises(ValueError, match="is closed"):
                await session.compute_loss(ZEROS, ZEROS)
            release.set()
            await closing
            return (await first).loss

    with serving(answering_after(release)) as address:
        assert asyncio.run(ask(address)) == 1
