"""A session of the asyncio client sends many requests over one stream of a real server."""

from __future__ import annotations

import asyncio
import pickle
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import lossd
import numpy as np
import pytest
from running_server import RunningServer, running_server, stopped
from session_cases import CASES, FAILURES, LOGITS, TARGETS, assert_equal

ZEROS = np.zeros(4, np.float32)
HALF = pytest.approx(np.log(2), rel=1e-6)


@pytest.fixture(scope="module", name="server")
def start_server() -> Iterator[RunningServer]:
    with running_server() as server:
        yield server


def run(
    address: str,
    use: Callable[[lossd.AsyncSession, lossd.AsyncClient], Awaitable[Any]],
    **arguments: Any,
) -> Any:
    """Returns what `use` does with a session in an event loop of its own."""

    async def begin() -> Any:
        async with lossd.AsyncClient(address, **arguments) as client, client.session() as session:
            return await use(session, client)

    return asyncio.run(begin())


def code_of(error: BaseException) -> grpc.StatusCode:
    assert isinstance(error, lossd.LossdError)
    return error.code


@pytest.mark.parametrize("name", CASES)
def test_a_result_has_the_bits_of_a_call(server: RunningServer, name: str) -> None:
    logits, targets, options = CASES[name]

    async def ask(session: lossd.AsyncSession, client: lossd.AsyncClient) -> None:
        expected = await client.compute_loss(logits, targets, **options)
        assert_equal(await session.compute_loss(logits, targets, **options), expected)

    run(server.address, ask)


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_is_the_error_of_a_call_and_of_its_request_alone(
    server: RunningServer, name: str
) -> None:
    logits, targets, options = FAILURES[name]

    async def ask(session: lossd.AsyncSession, client: lossd.AsyncClient) -> None:
        with pytest.raises((lossd.LossdError, ValueError)) as called:
            await client.compute_loss(logits, targets, **options)
        found = await asyncio.gather(
            session.compute_loss(ZEROS, ZEROS),
            session.compute_loss(logits, targets, **options),
            session.compute_loss(ZEROS, ZEROS),
            return_exceptions=True,
        )
        assert isinstance(found[1], BaseException)
        assert (type(found[1]), str(found[1])) == (type(called.value), str(called.value))
        for result in found[::2]:
            assert isinstance(result, lossd.LossResult)
            assert result.loss == HALF

    run(server.address, ask)


def test_a_thousand_requests_at_once_keep_their_answers(server: RunningServer) -> None:
    async def ask(session: lossd.AsyncSession, client: lossd.AsyncClient) -> None:
        def one(index: int) -> Awaitable[lossd.LossResult]:
            targets = np.zeros(3 + (index % 5 == 0), np.float32)
            return session.compute_loss(np.full(3, index, np.float32), targets, timeout=60)

        for _ in range(3):
            found = await asyncio.gather(*map(one, range(1000)), return_exceptions=True)
            for index, outcome in enumerate(found):
                if index % 5 == 0:
                    assert isinstance(outcome, BaseException)
                    assert code_of(outcome) is grpc.StatusCode.INVALID_ARGUMENT
                else:
                    assert isinstance(outcome, lossd.LossResult)
                    assert outcome.loss == pytest.approx(np.logaddexp(0, index), rel=1e-6)
        # More than may be unanswered, of which some are cancelled while they wait for room.
        tasks = [asyncio.ensure_future(one(index)) for index in range(1, 4001) if index % 5]
        await asyncio.sleep(0)
        for task in tasks[1000:3000:2]:
            task.cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        for place, outcome in enumerate(found):
            if 1000 <= place < 3000 and place % 2 == 0:
                assert isinstance(outcome, asyncio.CancelledError)
            else:
                assert isinstance(outcome, lossd.LossResult)

    run(server.address, ask)


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), "soon"])
def test_a_timeout_that_is_none_is_refused(server: RunningServer, timeout: Any) -> None:
    async def ask(session: lossd.AsyncSession, _: lossd.AsyncClient) -> None:
        with pytest.raises((ValueError, TypeError), match="^timeout: "):
            await session.compute_loss(ZEROS, ZEROS, timeout=timeout)

    run(server.address, ask)


def test_requests_end_at_their_time_while_the_server_stands_still(server: RunningServer) -> None:
    async def ask(session: lossd.AsyncSession, client: lossd.AsyncClient) -> None:
        await session.compute_loss(ZEROS, ZEROS)
        with stopped(server):
            # So many that the last ones wait for room.
            calls = [session.compute_loss(ZEROS, ZEROS, timeout=0.2) for _ in range(1100)]
            found = await asyncio.gather(*calls, return_exceptions=True)
        for outcome in found:
            assert str(outcome) == "DEADLINE_EXCEEDED: no answer within the timeout of 0.2 s"
        assert (await session.compute_loss(ZEROS, ZEROS)).loss == HALF
        other = client.session()
        await other.compute_loss(ZEROS, ZEROS)
        with stopped(server):
            with pytest.raises(lossd.LossdError):
                await other.compute_loss(ZEROS, ZEROS, timeout=0.05)
            await other.close()  # nobody waits for what the server still owes

    run(server.address, ask)


def test_a_loss_that_is_too_large_for_one_message_is_streamed(server: RunningServer) -> None:
    async def ask(session: lossd.AsyncSession, client: lossd.AsyncClient) -> None:
        result = await session.compute_loss(LOGITS, TARGETS)
        assert result.execution.batch_requests is None
        assert_equal(result, await client.compute_loss(LOGITS, TARGETS))

    run(server.address, ask, stream_above_bytes=100)


def test_tensors_in_shared_memory_are_named(tmp_path: Path) -> None:
    socket = tmp_path / "lossd"
    with (
        running_server(f"--shared_memory_socket={socket}") as server,
        lossd.SharedMemory(socket) as memory,
    ):
        logits, targets, gradient = (memory.allocate(LOGITS.shape, np.float32) for _ in range(3))
        logits[:], targets[:] = LOGITS, TARGETS

        async def ask(session: lossd.AsyncSession, client: lossd.AsyncClient) -> None:
            result = await session.compute_loss(logits, targets, gradient_out=gradient)
            assert result.gradient is gradient
            out = np.zeros_like(LOGITS)
            assert_equal(result, await client.compute_loss(LOGITS, TARGETS, gradient_out=out))

        run(server.address, ask, shared_memory=memory)


def test_a_cancelled_request_has_no_result_and_writes_nothing(server: RunningServer) -> None:
    async def ask(session: lossd.AsyncSession, _: lossd.AsyncClient) -> None:
        await session.compute_loss(ZEROS, ZEROS)
        out = np.zeros_like(LOGITS)
        with stopped(server):
            task = asyncio.ensure_future(session.compute_loss(LOGITS, TARGETS, gradient_out=out))
            other = asyncio.ensure_future(session.compute_loss(ZEROS, ZEROS))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert (await other).loss == HALF
        assert not out.any()

    run(server.address, ask)


def test_the_next_request_after_the_end_of_a_server_opens_another_stream() -> None:
    with running_server() as server:
        address = server.address

        async def ask(session: lossd.AsyncSession, client: lossd.AsyncClient) -> None:
            await session.compute_loss(ZEROS, ZEROS)
            with stopped(server):
                calls = [session.compute_loss(ZEROS, ZEROS) for _ in range(100)]
                tasks = [asyncio.ensure_future(call) for call in calls]
                await asyncio.sleep(0)
                server.process.kill()
            for outcome in await asyncio.gather(*tasks, return_exceptions=True):
                assert isinstance(outcome, BaseException)
                assert code_of(outcome) is grpc.StatusCode.UNAVAILABLE
            server.process.wait()
            with pytest.raises(lossd.LossdError, match="^UNAVAILABLE: "):
                await session.compute_loss(ZEROS, ZEROS)
            with running_server(f"--listen={address}"):
                client._connections.clear()  # without the wait before gRPC connects again
                assert (await session.compute_loss(ZEROS, ZEROS)).loss == HALF
                await session.close()

        run(address, ask)


def test_a_server_that_drains_answers_what_it_took_and_ends() -> None:
    with running_server("--max_queue_delay=300ms") as server:

        async def ask(session: lossd.AsyncSession, _: lossd.AsyncClient) -> None:
            await session.compute_loss(ZEROS, ZEROS)
            calls = [session.compute_loss(ZEROS, ZEROS) for _ in range(10)]
            tasks = [asyncio.ensure_future(call) for call in calls]
            await asyncio.sleep(0)
            server.process.send_signal(signal.SIGTERM)
            for outcome in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(outcome, BaseException):
                    assert code_of(outcome) is grpc.StatusCode.UNAVAILABLE
            assert await asyncio.to_thread(server.process.wait, 60) == 0

        run(server.address, ask)


def test_closing_waits_for_answers_and_cancelling_does_not(server: RunningServer) -> None:
    async def ask(_: lossd.AsyncSession, client: lossd.AsyncClient) -> None:
        async with client.session() as session:
            calls = [session.compute_loss(LOGITS, TARGETS) for _ in range(500)]
            tasks = [asyncio.ensure_future(call) for call in calls]
            await asyncio.sleep(0)
        assert len({(await task).loss for task in tasks}) == 1
        with pytest.raises(ValueError, match="^this AsyncSession is closed; make a new one"):
            await session.compute_loss(ZEROS, ZEROS)
        await session.close()
        with stopped(server):
            session = client.session()
            tasks = [asyncio.ensure_future(session.compute_loss(ZEROS, ZEROS)) for _ in range(10)]
            await asyncio.sleep(0)
            await session.close(cancel_futures=True)
            for outcome in await asyncio.gather(*tasks, return_exceptions=True):
                assert isinstance(outcome, asyncio.CancelledError)

    run(server.address, ask)


def test_closing_the_client_ends_the_requests_of_its_sessions(server: RunningServer) -> None:
    async def ask(session: lossd.AsyncSession, client: lossd.AsyncClient) -> None:
        await session.compute_loss(ZEROS, ZEROS)
        with stopped(server):
            tasks = [asyncio.ensure_future(session.compute_loss(ZEROS, ZEROS)) for _ in range(10)]
            await asyncio.sleep(0)
            await client.close()
            for outcome in await asyncio.gather(*tasks, return_exceptions=True):
                assert isinstance(outcome, BaseException)
                assert code_of(outcome) is grpc.StatusCode.CANCELLED
        with pytest.raises(ValueError, match=f"^this AsyncClient of {server.address} is closed"):
            await session.compute_loss(ZEROS, ZEROS)
        with pytest.raises(ValueError, match="is closed"):
            client.session()

    run(server.address, ask)


def test_a_session_belongs_to_one_loop_at_a_time(server: RunningServer) -> None:
    client = lossd.AsyncClient(server.address)
    session = client.session()

    async def ask() -> float:
        return (await session.compute_loss(ZEROS, ZEROS)).loss

    async def ask_in_another_loop() -> None:
        assert await ask() == HALF
        with pytest.raises(
            RuntimeError, match="^this AsyncSession is in use in another event loop"
        ):
            await asyncio.to_thread(asyncio.run, ask())

    for _ in range(2):  # the first loop has ended
        asyncio.run(ask_in_another_loop())
    with pytest.raises(TypeError, match="^an AsyncSession cannot be pickled"):
        pickle.dumps(session)


def test_the_interpreter_ends_with_an_open_session(server: RunningServer) -> None:
    program = f"""
import asyncio, lossd, numpy as np
Z = np.zeros(4, np.float32)
async def leave_open():
    session = lossd.AsyncClient({server.address!r}).session()
    await session.compute_loss(Z, Z)
    asyncio.ensure_future(session.compute_loss(Z, Z))
    await asyncio.sleep(0)
asyncio.run(leave_open())
print("end")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "end\n"), done.stderr
    assert "Traceback" not in done.stderr
