"""Sessions of the Python client with refusals, time limits, bad ends, forks and full queues."""

from __future__ import annotations

import concurrent.futures
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import grpc
import lossd
import numpy as np
import pytest
from running_server import RunningServer, running_server, stopped
from session_cases import LOGITS, TARGETS
from test_python_processes import in_fork

ZEROS = np.zeros(4, np.float32)
HALF = pytest.approx(np.log(2), rel=1e-6)


@pytest.fixture(scope="module", name="server")
def start_server() -> Iterator[RunningServer]:
    with running_server() as server:
        yield server


@pytest.fixture(name="client")
def connect(server: RunningServer) -> Iterator[lossd.Client]:
    with lossd.Client(server.address) as client:
        yield client


def test_a_refused_request_says_when_to_send_it_again() -> None:
    # One request is being computed for a second, because its batch stays open.
    with (
        running_server("--max_inflight_requests=1", "--max_queue_delay=1s") as server,
        lossd.Client(server.address) as client,
        client.session() as session,
    ):
        futures = [session.submit(ZEROS, ZEROS) for _ in range(8)]
        errors = [error for future in futures if (error := future.exception())]
    assert errors
    for error in errors:
        assert isinstance(error, lossd.LossdError)
        assert error.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert error.retry_after is not None
        assert error.retry_after > 0


def test_a_request_ends_at_its_time_while_the_server_stands_still(server: RunningServer) -> None:
    with lossd.Client(server.address) as client:
        session = client.session()
        session.compute_loss(ZEROS, ZEROS)
        with stopped(server):
            later = session.submit(ZEROS, ZEROS, timeout=600)
            future = session.submit(ZEROS, ZEROS, timeout=0.05)
            with pytest.raises(lossd.LossdError, match="no answer within the timeout of 0.05 s"):
                future.result()
            with pytest.raises(lossd.LossdError) as raised:
                session.compute_loss(ZEROS, ZEROS, timeout=0.05)
            assert raised.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
            assert not later.done()
        assert later.result().loss == HALF
        with stopped(server):
            session.submit(ZEROS, ZEROS, timeout=0.05)
            session.close()  # nobody waits for what the server still owes


def test_more_than_the_bounds_waits_and_ends_at_its_time(server: RunningServer) -> None:
    with lossd.Client(server.address) as client, client.session() as session:
        session.compute_loss(ZEROS, ZEROS)
        with stopped(server):
            futures = [session.submit(ZEROS, ZEROS) for _ in range(1024)]
            late: list[Any] = []
            threads = [
                threading.Thread(
                    target=lambda: late.append(session.submit(ZEROS, ZEROS, timeout=0.05))
                )
                for _ in range(3)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            for future in late:
                with pytest.raises(lossd.LossdError, match="^DEADLINE_EXCEEDED: "):
                    future.result()
            waiting = threading.Thread(
                target=lambda: late.append(session.submit(ZEROS, ZEROS, timeout=600))
            )
            waiting.start()
        waiting.join()
        assert all(future.result().loss == HALF for future in [*futures, late[-1]])


def test_a_callback_may_submit_although_the_bounds_are_reached(client: lossd.Client) -> None:
    answered = threading.Semaphore(0)
    with client.session() as session:

        def again(future: Any) -> None:
            for _ in range(2):
                session.submit(ZEROS, ZEROS).add_done_callback(lambda _: answered.release())

        for _ in range(3000):
            session.submit(ZEROS, ZEROS).add_done_callback(again)
        for _ in range(6000):
            assert answered.acquire(timeout=60)


def test_a_cancelled_future_has_no_result_and_writes_nothing(server: RunningServer) -> None:
    with lossd.Client(server.address) as client, client.session() as session:
        session.compute_loss(ZEROS, ZEROS)
        out = np.zeros_like(LOGITS)
        with stopped(server):
            sent = session.submit(LOGITS, TARGETS, gradient_out=out)
            assert sent.cancel()
            with pytest.raises(concurrent.futures.CancelledError):
                sent.result()
        assert session.compute_loss(ZEROS, ZEROS).loss == HALF  # answered after it
        assert not out.any()
        concurrent.futures.wait([sent])


def test_the_next_request_after_the_end_of_a_server_opens_another_stream() -> None:
    with running_server() as server:
        address = server.address
        client = lossd.Client(address)
        session = client.session()
        session.compute_loss(ZEROS, ZEROS)
        with stopped(server):
            futures = [session.submit(ZEROS, ZEROS) for _ in range(100)]
            server.process.kill()
        for future in futures:
            error = future.exception()
            assert isinstance(error, lossd.LossdError)
            assert error.code is grpc.StatusCode.UNAVAILABLE
        assert len({id(future.exception()) for future in futures}) == 100
        server.process.wait()
    with pytest.raises(lossd.LossdError, match="^UNAVAILABLE: "):
        session.compute_loss(ZEROS, ZEROS)
    with running_server(f"--listen={address}"):
        patient = lossd.Client(address, wait_for_ready=True)
        with patient.session() as other:
            assert other.compute_loss(ZEROS, ZEROS, timeout=60).loss == HALF
        client._connections.clear()  # without the wait before gRPC connects again
        assert session.compute_loss(ZEROS, ZEROS).loss == HALF
        session.close()


def test_a_server_that_drains_answers_what_it_took_and_ends() -> None:
    with (
        running_server("--max_queue_delay=300ms") as server,
        lossd.Client(server.address) as client,
    ):
        session = client.session()
        session.compute_loss(ZEROS, ZEROS)
        futures = [session.submit(ZEROS, ZEROS) for _ in range(10)]
        server.process.send_signal(signal.SIGTERM)
        for future in futures:
            error = future.exception()
            assert error is None or (
                isinstance(error, lossd.LossdError) and error.code is grpc.StatusCode.UNAVAILABLE
            )
        assert server.process.wait(60) == 0  # although the session is open
        session.close()


def test_closing_waits_for_answers_and_cancelling_does_not(server: RunningServer) -> None:
    with lossd.Client(server.address) as client:
        with client.session() as session:
            futures = [session.submit(LOGITS, TARGETS) for _ in range(500)]
        assert all(future.done() for future in futures)
        assert {future.result().loss for future in futures} == {futures[0].result().loss}
        for ask in (session.compute_loss, session.submit):
            with pytest.raises(ValueError, match="^this Session is closed; make a new one"):
                ask(ZEROS, ZEROS)
        session.close()
        session = client.session()
        session.compute_loss(ZEROS, ZEROS)
        with stopped(server):
            futures = [session.submit(ZEROS, ZEROS) for _ in range(10)]
            session.close(cancel_futures=True)
        assert all(future.cancelled() for future in futures)
        concurrent.futures.wait(futures)


def test_an_exception_in_the_block_waits_for_nothing(server: RunningServer) -> None:
    with lossd.Client(server.address) as client:
        futures: list[Any] = []

        def fail() -> None:
            with client.session() as session:
                session.compute_loss(ZEROS, ZEROS)
                with stopped(server):
                    futures.append(session.submit(ZEROS, ZEROS))
                    raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            fail()
        concurrent.futures.wait(futures)


def test_closing_the_client_ends_the_requests_of_its_sessions(server: RunningServer) -> None:
    client = lossd.Client(server.address)
    session, unused = client.session(), client.session()
    session.compute_loss(ZEROS, ZEROS)
    with stopped(server):
        futures = [session.submit(ZEROS, ZEROS) for _ in range(10)]
        client.close()
        for future in futures:
            with pytest.raises(lossd.LossdError, match="^CANCELLED: "):
                future.result()
    for other in (session, unused):
        with pytest.raises(ValueError, match=f"^this Client of {server.address} is closed"):
            other.compute_loss(ZEROS, ZEROS)
        other.close()
    with pytest.raises(ValueError, match="is closed"):
        client.session()


def test_a_token_is_sent_with_the_stream(tmp_path: Any) -> None:
    (tmp_path / "tokens").write_text("a-token-for-tests\n")
    with running_server(f"--token_file={tmp_path / 'tokens'}") as server:
        with (
            lossd.Client(server.address, token="a-token-for-tests") as client,
            client.session() as session,
        ):
            assert session.compute_loss(ZEROS, ZEROS).loss == HALF
        with lossd.Client(server.address) as client, client.session() as session:
            for _ in range(2):
                with pytest.raises(lossd.LossdError, match="^UNAUTHENTICATED: "):
                    session.compute_loss(ZEROS, ZEROS)


def test_an_open_session_forbids_lossd_in_a_fork(server: RunningServer) -> None:
    # The client stays open, because gRPC ends a closed one's connection on threads of its own.
    with lossd.Client(server.address) as client:
        with client.session() as session:

            def use_session() -> None:
                with session:
                    session.compute_loss(ZEROS, ZEROS)

            assert in_fork(use_session) == (0, "")  # no stream is open yet
            session.compute_loss(ZEROS, ZEROS)
            code, said = in_fork(use_session)
            assert code == 1
            assert "was forked while a Session was open" in said
            assert in_fork(session.close) == (0, "")
            code, said = in_fork(lambda: client.compute_loss(ZEROS, ZEROS))
            assert "was forked while a Session was open" in said
            assert session.compute_loss(ZEROS, ZEROS).loss == HALF
        assert in_fork(lambda: client.compute_loss(ZEROS, ZEROS)) == (0, "")


def test_a_session_is_not_pickled(client: lossd.Client) -> None:
    with pytest.raises(TypeError, match="^a Session cannot be pickled; make it in the process"):
        pickle.dumps(client.session())


PROGRAMS = {
    "an open session": "s.compute_loss(Z, Z)",
    "requests under way": "f = [s.submit(Z, Z, timeout=60) for _ in range(1000)]",
    "requests that nobody answers": (
        "c = lossd.Client('127.0.0.1:1', wait_for_ready=True)\n"
        "s = c.session(); f = [s.submit(Z, Z, timeout=600) for _ in range(10)]"
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_interpreter_ends_with(server: RunningServer, name: str) -> None:
    program = f"import lossd, numpy as np\nT = {server.address!r}\nZ = np.zeros(4, np.float32)\n"
    program += "c = lossd.Client(T); s = c.session()\n"
    done = subprocess.run(
        [sys.executable, "-c", program + PROGRAMS[name] + "\nprint('end')"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "end\n"), done.stderr


def test_streams_leave_no_threads(client: lossd.Client) -> None:
    def threads() -> set[str]:
        return {thread.name for thread in threading.enumerate() if "lossd" in thread.name}

    before = len(os.listdir("/proc/self/task"))
    with client.session() as session:
        session.compute_loss(ZEROS, ZEROS, timeout=60)
        assert threads() == {"lossd session", "lossd clock"}
    assert threads() <= {"lossd clock"}
    for _ in range(20):
        with client.session() as session:
            session.compute_loss(ZEROS, ZEROS)
    assert len(os.listdir("/proc/self/task")) < before + 15
