"""Clients of several servers, which are killed and ended in turns: no call fails."""

from __future__ import annotations

import asyncio
import pickle
import re
import signal
import socket
import threading
import urllib.request
from pathlib import Path
from typing import Any

import grpc
import lossd
import numpy as np
import pytest
from lossd import lookups
from running_server import BINARIES, RunningServer, eventually, running_server, stopped
from test_tls_renewal import make_certificate

from soak.loads import all_loads
from soak.server import Server, Setting, free_port, running

TIMES = 6
ZEROS = np.zeros(4, np.float32)
HALF = pytest.approx(np.log(2), rel=1e-6)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_no_call_fails_while_servers_end_and_come_back(how: signal.Signals, tmp_path: Path) -> None:
    setting = Setting(BINARIES / "server/lossd", tmp_path, quick=False)
    servers = [Server(setting, name=f"server-{number}") for number in range(3)]
    with running(*servers), all_loads([server.address for server in servers]) as loads:
        for time in range(TIMES):
            for load in loads:
                load.wait_for_more(3)
            servers[time % 3].end(how)
            servers[time % 3].start()
        for load in loads:
            load.wait_for_more(3)
        outcomes = {load.name: dict(load.stop()) for load in loads}
    assert {name: set(found) for name, found in outcomes.items()} == {
        name: {"answered"} for name in outcomes
    }, outcomes


def asked(server: RunningServer) -> int:
    """Returns for how many losses a server was asked; answers are counted after they are out."""
    with urllib.request.urlopen(f"http://{server.metrics}/metrics", timeout=60) as reply:
        page = reply.read().decode()
    counts = re.findall(r'^lossd_accepted_total\{.*"ComputeLoss".*\} (\d+)$', page, re.MULTILINE)
    return sum(map(int, counts))


@pytest.mark.parametrize("secure", [False, True])
def test_calls_take_turns(tmp_path: Path, secure: bool) -> None:
    flags: list[str] = []
    arguments: dict[str, Any] = {}
    if secure:
        make_certificate(tmp_path, "server")
        (tmp_path / "tokens").write_text("open sesame\n")
        flags = [f"--tls_cert={tmp_path}/server.pem", f"--tls_key={tmp_path}/server.key"]
        flags.append(f"--token_file={tmp_path}/tokens")
        roots = (tmp_path / "server.pem").read_bytes()
        arguments = {"credentials": grpc.ssl_channel_credentials(roots), "token": "open sesame"}
    with running_server(*flags) as one, running_server(*flags) as other:
        servers = (one, other)
        with lossd.Client([server.address for server in servers], **arguments) as client:

            def both_answer() -> bool:
                return all(asked(server) > 0 for server in servers)

            assert eventually(client, both_answer)
            before = [asked(server) for server in servers]
            for _ in range(20):
                client.compute_loss(ZEROS, ZEROS)
            after = [asked(server) for server in servers]
    assert [late - early for late, early in zip(after, before, strict=True)] == [10, 10]


class Hosts:
    """Says where a name of the tests is, in place of the DNS."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *ips: str) -> None:
        self.ips = ips
        monkeypatch.setattr(lookups.socket, "getaddrinfo", self.getaddrinfo)

    def getaddrinfo(self, host: str, port: str, **_: Any) -> list[Any]:
        if host != "fleet.invalid":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(0, 0, 0, "", (ip, int(port))) for ip in self.ips]


def look_up_again(client: lossd.Client | lossd.AsyncClient) -> None:
    assert client._lookups is not None
    client._lookups._begin().wait(60)


def test_a_name_that_moves_is_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    hosts = Hosts(monkeypatch, "127.0.0.1")
    with (
        running_server(f"--listen=127.0.0.1:{port}") as first,
        running_server(f"--listen=127.0.0.2:{port}"),
        lossd.Client([f"fleet.invalid:{port}", "nobody.invalid:1"]) as client,
        client.session() as session,
    ):
        assert client.compute_loss(ZEROS, ZEROS).loss == HALF
        assert session.compute_loss(ZEROS, ZEROS).loss == HALF
        before = client._connection()
        hosts.ips = ("127.0.0.2",)
        with stopped(first):
            late = session.submit(ZEROS, ZEROS)  # on its way to the first server
            look_up_again(client)
            assert client.compute_loss(ZEROS, ZEROS, timeout=60).loss == HALF
            assert client._connection() is not before
        assert late.result().loss == HALF  # the connection to it came to its end
        first.process.kill()
        assert session.compute_loss(ZEROS, ZEROS, timeout=60).loss == HALF


def test_an_asyncio_client_finds_a_name_again(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    hosts = Hosts(monkeypatch, "127.0.0.1")

    async def use() -> None:
        async with (
            lossd.AsyncClient([f"fleet.invalid:{port}"]) as client,
            client.session() as session,
        ):
            assert (await client.compute_loss(ZEROS, ZEROS)).loss == HALF
            assert (await session.compute_loss(ZEROS, ZEROS)).loss == HALF
            hosts.ips = ("127.0.0.2",)
            await asyncio.to_thread(look_up_again, client)
            first.process.kill()
            for asks in (client, session):
                assert (await asks.compute_loss(ZEROS, ZEROS, timeout=60)).loss == HALF

    with (
        running_server(f"--listen=127.0.0.1:{port}") as first,
        running_server(f"--listen=127.0.0.2:{port}"),
    ):
        asyncio.run(use())


def test_unknown_names_are_an_error_of_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    Hosts(monkeypatch)
    unknown = "^UNAVAILABLE: no server's name: nobody.invalid:1: Name or service not known$"

    async def ask() -> None:
        async with lossd.AsyncClient(["nobody.invalid:1"]) as client, client.session() as session:
            for asks in (client, session):
                with pytest.raises(lossd.LossdError, match=unknown):
                    await asks.compute_loss(ZEROS, ZEROS)

    asyncio.run(ask())
    with lossd.Client(["nobody.invalid:1"]) as client, client.session() as session:
        for ask_for in (client.compute_loss, session.compute_loss):
            with pytest.raises(lossd.LossdError, match=unknown):
                ask_for(ZEROS, ZEROS)
        with pytest.raises(lossd.LossdError, match=unknown):
            session.submit(ZEROS, ZEROS).result()


def test_a_client_that_waits_for_names_looks_once_a_second_and_can_be_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked = []

    def nobody(*_: object, **__: object) -> None:
        looked.append(1)
        raise OSError(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(lookups.socket, "getaddrinfo", nobody)

    async def ask(timeout: float | None) -> None:
        async with lossd.AsyncClient(["nobody.invalid:1"], wait_for_ready=True) as client:
            await client.compute_loss(ZEROS, ZEROS, timeout=timeout)

    late = (
        "^DEADLINE_EXCEEDED: no server was found within the timeout of 1.5 s: "
        "no server's name: nobody.invalid:1: Name or service not known$"
    )
    with pytest.raises(lossd.LossdError, match=late):
        asyncio.run(ask(1.5))
    with (
        lossd.Client(["nobody.invalid:1"], wait_for_ready=True) as client,
        pytest.raises(lossd.LossdError, match=late),
    ):
        client.compute_loss(ZEROS, ZEROS, timeout=1.5)
    assert len(looked) <= 8

    async def give_up() -> None:
        await asyncio.wait_for(ask(None), 0.1)

    with pytest.raises(TimeoutError):
        asyncio.run(give_up())


def test_a_callback_may_close_its_session_while_others_are_under_way() -> None:
    with (
        running_server() as first,
        running_server() as second,
        lossd.Client([first.address, second.address]) as client,
    ):
        session = client.session()
        closed = threading.Event()

        def close(_: object) -> None:
            session.close()
            closed.set()

        futures = [session.submit(ZEROS, ZEROS) for _ in range(50)]
        futures[0].add_done_callback(close)
        assert closed.wait(60)
        assert all(future.result(60).loss == HALF for future in futures)


class Fleet:
    """Servers that come and go, which a client asks for by calling this."""

    def __init__(self, *servers: RunningServer) -> None:
        self.addresses = [server.address for server in servers]

    def __call__(self) -> list[str]:
        return self.addresses


def test_a_function_says_which_servers_there_are() -> None:
    with running_server() as first, running_server() as second:
        fleet = Fleet(first)
        with lossd.Client(fleet) as client, client.session() as session:
            for asks in (client, session):
                assert asks.compute_loss(ZEROS, ZEROS).loss == HALF
            fleet.addresses = [second.address]
            look_up_again(client)
            first.process.kill()
            for asks in (client, session):
                assert asks.compute_loss(ZEROS, ZEROS, timeout=60).loss == HALF
            fleet.addresses = []
            look_up_again(client)
            none = "^UNAVAILABLE: no server: Fleet\\(\\) returned none$"
            with pytest.raises(lossd.LossdError, match=none):
                client.compute_loss(ZEROS, ZEROS)


def test_an_asyncio_client_asks_a_function() -> None:
    async def use(fleet: Fleet, server: RunningServer) -> None:
        async with lossd.AsyncClient(fleet, wait_for_ready=True) as client:
            waiting = asyncio.create_task(client.compute_loss(ZEROS, ZEROS, timeout=60))
            await asyncio.to_thread(look_up_again, client)
            fleet.addresses = [server.address]
            assert (await waiting).loss == HALF

    with running_server() as server:
        asyncio.run(use(Fleet(), server))


def test_a_client_of_a_function_is_pickled_with_it() -> None:
    with running_server() as server:
        client = lossd.Client(Fleet(server), wait_for_ready=True)
        with pickle.loads(pickle.dumps(client)) as other:
            assert other.compute_loss(ZEROS, ZEROS, timeout=60).loss == HALF
        client.close()
        with pytest.raises(ValueError, match=r"of Fleet\(\) is closed"):
            client.compute_loss(ZEROS, ZEROS)


def test_all_addresses_of_a_name_are_servers() -> None:
    port = free_port()
    with running_server(f"--listen=127.0.0.1:{port}"):
        for target in (f"dns:///localhost:{port}", f"ipv4:127.0.0.1:{port},127.0.0.2:{port}"):
            with lossd.Client(target) as client:
                assert client.compute_loss(ZEROS, ZEROS, timeout=60).loss == HALF


def test_a_client_of_a_list_is_pickled_as_its_arguments() -> None:
    with running_server() as server:
        client = lossd.Client([server.address, "127.0.0.1:1"], wait_for_ready=True)
        with pickle.loads(pickle.dumps(client)) as other:
            assert other.compute_loss(ZEROS, ZEROS, timeout=60).loss == HALF
        client.close()
        with pytest.raises(ValueError, match=f"of {server.address},127.0.0.1:1 is closed"):
            client.compute_loss(ZEROS, ZEROS)


def test_what_only_one_server_has_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "regions"
    with running_server(f"--shared_memory_socket={path}"), lossd.SharedMemory(path) as memory:
        for target in (["a:1", "b:1"], "dns:///a:1", lambda: ["a:1"]):
            with pytest.raises(ValueError, match="^shared_memory: its regions are one server's"):
                lossd.Client(target, shared_memory=memory)
    with pytest.raises(ValueError, match="^use_http_proxy: a proxy is asked for one name"):
        lossd.Client("a:1,b:1", use_http_proxy=True)
    tls = grpc.ssl_channel_credentials()
    for several in ("a:1,b:1", lambda: ["a:1"]):
        with pytest.raises(
            ValueError, match="^credentials: .* against one name; give channel_options="
        ):
            lossd.Client(several, credentials=tls)
    lossd.Client("a:1,a:2", credentials=tls).close()
    options = {"grpc.ssl_target_name_override": "a"}
    lossd.Client("a:1,b:1", credentials=tls, channel_options=options).close()
