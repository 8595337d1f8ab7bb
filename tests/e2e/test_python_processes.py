"""The Python client in processes, forks, threads and event loops, against a real server."""

from __future__ import annotations

import asyncio
import copy
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import grpc
import lossd
import numpy as np
import pytest
from running_server import RunningServer, running_server

CALLS = 1000
ZEROS = np.zeros(4, np.float32)
HALF = pytest.approx(np.log(2), rel=1e-6)


@pytest.fixture(scope="module", name="server")
def start_server() -> Iterator[RunningServer]:
    with running_server() as server:
        yield server


def loss_of(client: lossd.Client, index: int) -> float:
    """Returns the loss, or raises LossdError for every third index: its shapes do not fit."""
    targets = np.zeros(5 if index % 3 == 0 else 4, np.float32)
    return client.compute_loss(ZEROS, targets, timeout=30).loss


def ask(client: lossd.Client, index: int) -> tuple[int, Any]:
    """Returns the loss or the code of the error."""
    try:
        return index, loss_of(client, index)
    except lossd.LossdError as error:
        return index, error.code


def assert_answers(answers: list[tuple[int, Any]], count: int = CALLS) -> None:
    assert len(answers) == count
    for index, answer in answers:
        assert answer == (grpc.StatusCode.INVALID_ARGUMENT if index % 3 == 0 else HALF)


def in_fork(child: Callable[[], object]) -> tuple[int, str]:
    """Returns the exit code of a forked child and what it wrote; ends it after 60 seconds."""
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        code = 1
        try:
            signal.alarm(60)
            child()
            code = 0
        except BaseException as error:
            os.write(writing, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), text


def test_an_error_survives_pickle_and_copy() -> None:
    error = lossd.LossdError(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", 0.5)
    error.add_note("in a worker")
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(other) is lossd.LossdError
        assert (other.code, other.message, other.retry_after) == (error.code, "full", 0.5)
        assert str(other) == str(error)
        assert other.__notes__ == ["in a worker"]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_pool_passes_errors_on_and_goes_on(server: RunningServer, method: str) -> None:
    client = lossd.Client(server.address)
    with multiprocessing.get_context(method).Pool(2) as pool:
        with pytest.raises(lossd.LossdError) as raised:
            pool.apply_async(loss_of, (client, 0)).get(timeout=120)
        assert raised.value.code is grpc.StatusCode.INVALID_ARGUMENT
        calls = [(client, index) for index in range(CALLS)]
        assert_answers(pool.starmap_async(ask, calls).get(timeout=120))
    with ProcessPoolExecutor(1, multiprocessing.get_context(method)) as executor:
        with pytest.raises(lossd.LossdError):
            executor.submit(loss_of, client, 0).result(timeout=120)
        clients = [client] * CALLS
        answers = executor.map(ask, clients, range(CALLS), timeout=120, chunksize=100)
        assert_answers(list(answers))


def test_joblib_passes_errors_on_and_goes_on(server: RunningServer) -> None:
    joblib = pytest.importorskip("joblib")
    client = lossd.Client(server.address)
    for backend in ("loky", "multiprocessing"):
        with pytest.raises(lossd.LossdError):
            joblib.Parallel(2, backend=backend)(
                joblib.delayed(loss_of)(client, index) for index in range(6)
            )
        parallel = joblib.Parallel(2, backend=backend)
        assert_answers(parallel(joblib.delayed(ask)(client, index) for index in range(CALLS)))


def test_clients_are_pickled_as_their_arguments(server: RunningServer) -> None:
    client = lossd.Client(
        server.address,
        token="secret",
        stream_above_bytes=0,
        wait_for_ready=True,
        channel_options={"grpc.max_send_message_length": 1 << 20},
    )
    with pickle.loads(pickle.dumps(client)) as other:
        assert other.compute_loss(ZEROS, ZEROS).execution.batch_requests is None  # a stream
        assert pickle.dumps(other) == pickle.dumps(client)

    async def ask_other() -> float:
        async with pickle.loads(pickle.dumps(lossd.AsyncClient(server.address))) as other:
            loss: float = (await other.compute_loss(ZEROS, ZEROS)).loss
            return loss

    assert asyncio.run(ask_other()) == HALF
    secured = lossd.Client(server.address, credentials=grpc.ssl_channel_credentials())
    with pytest.raises(TypeError, match="^Client: credentials cannot be pickled; make the client"):
        pickle.dumps(secured)


@pytest.mark.parametrize("used", [False, True])
def test_a_forked_child_has_a_connection_of_its_own(server: RunningServer, used: bool) -> None:
    client = lossd.Client(server.address)
    if used:
        client.compute_loss(ZEROS, ZEROS)

    def child() -> None:
        for index in range(4):
            assert_answers([ask(client, index)], 1)
        with lossd.Client(server.address) as own:
            assert_answers([ask(own, 1)], 1)
        client.close()

        async def from_a_loop() -> None:
            async with lossd.AsyncClient(server.address) as other:
                assert (await other.compute_loss(ZEROS, ZEROS, timeout=30)).loss == HALF

        asyncio.run(from_a_loop())

    for _ in range(20):
        assert in_fork(child) == (0, "")
        assert_answers([ask(client, 1)], 1)


def test_a_child_of_a_fork_during_a_call_is_told_so(server: RunningServer) -> None:
    arrived, go_on = threading.Event(), threading.Event()

    def messages() -> Iterator[bytes]:
        arrived.set()
        go_on.wait(60)
        yield b""

    client = lossd.Client(server.address, stream_above_bytes=0)

    def call() -> None:
        stream = client._connection().stream_loss
        client._connection().stream_loss = lambda _, **options: stream(messages(), **options)
        with pytest.raises(lossd.LossdError):
            client.compute_loss(ZEROS, ZEROS)

    thread = threading.Thread(target=call)
    thread.start()
    assert arrived.wait(60)
    text = "RuntimeError: lossd: this process was forked while another thread was in a call"
    for ask_child in (
        lambda: client.compute_loss(ZEROS, ZEROS),
        lambda: lossd.Client(server.address).server_info(),
    ):
        code, said = in_fork(ask_child)
        assert code == 1
        assert said.startswith(text)
        assert "'spawn' or 'forkserver'" in said
    go_on.set()
    thread.join()


def test_a_child_of_a_fork_with_an_open_asyncio_client_is_told_so(server: RunningServer) -> None:
    async def open_and_fork() -> tuple[int, str]:
        async with lossd.AsyncClient(server.address) as client:
            await client.compute_loss(ZEROS, ZEROS)
            blocking = lossd.Client(server.address)
            return in_fork(lambda: loss_of(blocking, 1))

    code, said = asyncio.run(open_and_fork())
    assert code == 1
    assert "was forked while an AsyncClient was open" in said
    assert in_fork(lambda: loss_of(lossd.Client(server.address), 1)) == (0, "")


def test_one_asyncio_client_serves_several_loops(server: RunningServer) -> None:
    client = lossd.AsyncClient(server.address)  # made outside of any loop

    async def ask_once(index: int) -> tuple[int, Any]:
        try:
            return index, (await client.compute_loss(ZEROS, ZEROS[index % 3 == 0 :])).loss
        except lossd.LossdError as error:
            return index, error.code

    async def ask_often() -> None:
        assert_answers(await asyncio.gather(*map(ask_once, range(CALLS))))

    for _ in range(3):
        asyncio.run(ask_often())
    errors: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(ask_often())
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    asyncio.run(client.close())
    with pytest.raises(ValueError, match=f"^this AsyncClient of {server.address} is closed"):
        asyncio.run(ask_often())


def test_a_closed_client_says_so(server: RunningServer) -> None:
    client = lossd.Client(server.address)
    client.compute_loss(ZEROS, ZEROS)
    client.close()
    for call in (lambda: client.compute_loss(ZEROS, ZEROS), client.server_info):
        with pytest.raises(ValueError, match=f"^this Client of {server.address} is closed; make a"):
            call()
    never_used = lossd.Client(server.address)
    never_used.close()
    with pytest.raises(ValueError, match="is closed"):
        never_used.server_info()


def test_closing_ends_calls_of_other_threads() -> None:
    # Nobody answers: the call waits until it is ended.
    client = lossd.Client("127.0.0.1:1", wait_for_ready=True)
    connection = client._connection()
    started = threading.Event()
    call = connection.compute_loss

    def start(*arguments: Any, **options: Any) -> Any:
        future = call.future(*arguments, **options)
        started.set()
        return future.result()

    connection.compute_loss = start
    raised: list[BaseException] = []

    def ask_it() -> None:
        try:
            client.compute_loss(ZEROS, ZEROS)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=ask_it)
    thread.start()
    assert started.wait(60)
    client.close()
    thread.join(60)
    assert not thread.is_alive()
    assert len(raised) == 1


PROGRAMS = {
    "open clients": "c = lossd.Client(T); c.compute_loss(Z, Z); a = lossd.AsyncClient(T)",
    "an open loop's client": (
        "import asyncio\nloop = asyncio.new_event_loop(); a = lossd.AsyncClient(T)\n"
        "loop.run_until_complete(a.compute_loss(Z, Z))"
    ),
    "a client that ends in a destructor": (
        "class Owner:\n"
        "    def __init__(self): self.client = lossd.Client(T)\n"
        "    def __del__(self): self.client.compute_loss(Z, Z, timeout=30); self.client.close()\n"
        "o = Owner(); o.client.compute_loss(Z, Z); del o"
    ),
    "a call of a daemon thread": (
        "import threading\n"
        "c = lossd.Client('127.0.0.1:1', wait_for_ready=True)\n"
        "t = threading.Thread(target=c.compute_loss, args=(Z, Z), daemon=True); t.start()"
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_interpreter_ends_with(server: RunningServer, name: str) -> None:
    program = f"import lossd, numpy as np\nT = {server.address!r}\nZ = np.zeros(4, np.float32)\n"
    done = subprocess.run(
        [sys.executable, "-c", program + PROGRAMS[name] + "\nprint('end')"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "end\n"), done.stderr


def test_a_call_waits_for_a_server_that_starts_later() -> None:
    with running_server() as server:
        address = server.address
    # A free port from now on; the first call begins before the server has it again.
    with lossd.Client(address) as client, pytest.raises(lossd.LossdError) as raised:
        client.compute_loss(ZEROS, ZEROS, timeout=30)
    assert raised.value.code is grpc.StatusCode.UNAVAILABLE
    with lossd.Client(address, wait_for_ready=True) as client:
        with pytest.raises(lossd.LossdError) as raised:
            client.compute_loss(ZEROS, ZEROS, timeout=0.2)
        assert raised.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
        with running_server(f"--listen={address}"):
            assert client.compute_loss(ZEROS, ZEROS, timeout=60).loss == HALF


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_channel_has_the_callers_options(
    monkeypatch: pytest.MonkeyPatch, asynchronous: bool
) -> None:
    made: list[dict[str, Any]] = []
    module = grpc.aio if asynchronous else grpc
    make = module.insecure_channel

    def record(target: str, options: Any) -> Any:
        made.append(dict(options))
        return make(target, options)

    monkeypatch.setattr(module, "insecure_channel", record)
    chosen = {"grpc.max_reconnect_backoff_ms": 7000, "grpc.primary_user_agent": "trainer"}
    kind: Any = lossd.AsyncClient if asynchronous else lossd.Client

    async def connect(**options: Any) -> None:
        kind("localhost:1", **options)._connection()

    asyncio.run(connect())
    asyncio.run(connect(channel_options=chosen))
    assert made[0]["grpc.max_reconnect_backoff_ms"] <= 1000
    assert made[0]["grpc.use_local_subchannel_pool"] == 1
    assert made[0]["grpc.enable_http_proxy"] == 0
    assert chosen.items() <= made[1].items()
