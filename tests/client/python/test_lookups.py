"""The addresses of a list of servers, with a stand-in for the DNS."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import grpc
import lossd
import pytest
from lossd import lookups
from lossd.lookups import Called, Found, Lookups


class Dns:
    """Answers lookups from a table, and counts them."""

    def __init__(self, **table: list[str]) -> None:
        self.table = table
        self.asked = 0
        self.open = threading.Event()
        self.open.set()

    def getaddrinfo(self, host: str, port: str, **_: Any) -> list[Any]:
        self.asked += 1
        assert self.open.wait(60)
        if host not in self.table:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(0, 0, 0, "", (ip, int(port))) for ip in self.table[host]]


@pytest.fixture(name="dns")
def replace_dns(monkeypatch: pytest.MonkeyPatch) -> Dns:
    dns = Dns(a=["10.0.0.2", "10.0.0.1"], b=["10.0.0.3"], c=["fd00::1", "10.0.0.4"])
    monkeypatch.setattr(lookups.socket, "getaddrinfo", dns.getaddrinfo)
    return dns


def test_addresses_are_sorted_and_not_looked_up(dns: Dns) -> None:
    found = Lookups(["10.0.0.2:1", "10.0.0.1:2"])
    assert found.known
    assert found.target(None, patient=False) == "ipv4:10.0.0.1:2,10.0.0.2:1"
    assert (
        Lookups(["[::1]:1", "10.0.0.1:2"]).target(None, patient=False)
        == "ipv6:%5B::ffff:10.0.0.1%5D:2,%5B::1%5D:1"
    )
    assert (
        Lookups(["[fe80::1%eth0]:1"]).target(None, patient=False) == "ipv6:%5Bfe80::1%25eth0%5D:1"
    )
    assert dns.asked == 0


def test_names_and_addresses_become_one_target_whatever_their_order(dns: Dns) -> None:
    found = Lookups(["a:1", "b:2", "10.0.0.1:1"])
    assert not found.known
    expected = "ipv4:10.0.0.1:1,10.0.0.2:1,10.0.0.3:2"
    assert found.target(None, patient=False) == expected
    dns.table["a"].reverse()
    assert Lookups(["b:2", "a:1"]).target(None, patient=False) == expected
    assert (
        Lookups(["c:1"]).target(None, patient=False)
        == "ipv6:%5B::ffff:10.0.0.4%5D:1,%5Bfd00::1%5D:1"
    )


def test_names_are_looked_up_again_without_a_wait(
    dns: Dns, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Lookups(["a:1", "b:1"])
    first = found.target(None, patient=False)
    for _ in range(100):
        assert found.target(None, patient=False) == first
    assert dns.asked == 2
    monkeypatch.setattr(found, "_again_at", 0.0)
    dns.table["b"] = ["10.0.0.9"]
    del dns.table["a"]  # it keeps its addresses
    dns.open.clear()
    assert found.target(None, patient=False) == first
    assert found._under_way is not None
    looked_up = found._under_way[1]
    assert found.target(None, patient=False) == first  # by the same lookup
    dns.open.set()
    assert looked_up.wait(60)
    assert found.target(None, patient=False) == "ipv4:10.0.0.1:1,10.0.0.2:1,10.0.0.9:1"
    assert dns.asked == 4


def test_one_unknown_name_is_warned_of_once(dns: Dns, caplog: pytest.LogCaptureFixture) -> None:
    found = Lookups(["nobody:1", "b:1"])
    for _ in range(2):
        assert found.target(None, patient=False) == "ipv4:10.0.0.3:1"
        found._begin().wait(60)
    assert [record.getMessage() for record in caplog.records] == [
        "the list of lossd's servers may be out of date: nobody:1: Name or service not known"
    ]


def test_of_a_function_that_fails_is_warned_once(
    dns: Dns, caplog: pytest.LogCaptureFixture
) -> None:
    results: list[Any] = [["10.0.0.1:1"]]
    found = Lookups(lambda: results.pop())
    for _ in range(3):
        found._begin().wait(60)
    assert [record.getMessage() for record in caplog.records] == [
        "the list of lossd's servers may be out of date: no server: pop from empty list"
    ]


def test_no_known_name_is_unavailable(dns: Dns) -> None:
    with pytest.raises(lossd.LossdError, match="nobody:1: Name or service not known") as raised:
        Lookups(["nobody:1", "none:1"]).target(None, patient=False)
    assert raised.value.code is grpc.StatusCode.UNAVAILABLE


def test_a_patient_caller_waits_for_a_name(dns: Dns, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookups, "_SOON_SECONDS", 0.01)
    found = Lookups(["late:1"])
    answers: list[str] = []
    thread = threading.Thread(target=lambda: answers.append(found.target(60, patient=True)))
    thread.start()
    while dns.asked < 3:
        threading.Event().wait(0.001)
    dns.table["late"] = ["10.0.0.5"]
    thread.join()
    assert answers == ["ipv4:10.0.0.5:1"]


def test_a_function_is_called_again_every_five_seconds(dns: Dns) -> None:
    lists = [["10.0.0.1:1"], ["10.0.0.2:1", "a:1"]]
    found = Lookups(lambda: lists.pop(0))
    assert not found.known
    first = found.target(None, patient=False)
    assert first == "ipv4:10.0.0.1:1"
    assert time.monotonic() + 4 < found._again_at < time.monotonic() + 6
    assert found.target(None, patient=False) == first
    found._again_at = 0.0
    found.target(None, patient=False)
    while found._under_way is not None:
        threading.Event().wait(0.001)
    assert found.target(None, patient=False) == "ipv4:10.0.0.1:1,10.0.0.2:1"


def test_a_function_that_fails_leaves_the_list_as_it_was(dns: Dns) -> None:
    results: list[Any] = [["10.0.0.1:1"], None, "10.0.0.2:1", ["10.0.0.2"], ["none:1"], []]

    def servers() -> Any:
        if not results:
            raise OSError("the registry is away")
        return results.pop(0)

    called = Called(servers)
    assert called.find() == Found("ipv4:10.0.0.1:1")
    name = servers.__qualname__ + "()"
    result = f"no server: the result of {name}"
    assert [called.find() for _ in range(4)] == [
        Found("ipv4:10.0.0.1:1", error)
        for error in (
            f"{result}: None is not a list of strings",
            f"{result}: '10.0.0.2:1' is not a list of strings",
            f"{result}: '10.0.0.2' has no port; give HOST:PORT or unix:/path",
            "no server's name: none:1: Name or service not known",
        )
    ]
    assert called.find() == Found("", f"no server: {name} returned none")
    assert called.find() == Found("", "no server: the registry is away")
    with pytest.raises(lossd.LossdError, match="no server: the registry is away") as raised:
        Lookups(servers).target(None, patient=False)
    assert raised.value.code is grpc.StatusCode.UNAVAILABLE


def test_the_timeout_ends_a_lookup(dns: Dns) -> None:
    dns.open.clear()
    with pytest.raises(lossd.LossdError, match="found within the timeout of 0.01 s") as raised:
        Lookups(["a:1"]).target(0.01, patient=False)
    assert raised.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
    # A call that is sent again names its whole timeout, and a session that does not wait none.
    with pytest.raises(lossd.LossdError, match="found within the timeout of 5 s$"):
        Lookups(["a:1"]).target(0.01, patient=False, timeout=5)
    with pytest.raises(lossd.LossdError, match="^DEADLINE_EXCEEDED: no server is known$"):
        Lookups(["a:1"]).target(0, patient=False)
    dns.open.set()


def test_a_caller_that_does_not_wait_is_told_of_no_timeout(dns: Dns) -> None:
    dns.open.clear()
    with pytest.raises(lossd.LossdError) as raised:
        Lookups(["a:1"]).target(0, patient=False)
    dns.open.set()
    assert raised.value.message == "no server is known"


def test_without_a_thread_names_are_looked_up_later(
    dns: Dns, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    found = Lookups(["a:1"])
    with monkeypatch.context() as patched:
        patched.setattr(lookups.threading.Thread, "start", start)
        with pytest.raises(RuntimeError, match="^can't start new thread$"):
            found.target(None, patient=False)
    first = found.target(None, patient=False)
    dns.table["a"] = ["10.0.0.9"]
    monkeypatch.setattr(found, "_again_at", 0.0)
    with monkeypatch.context() as patched:
        patched.setattr(lookups.threading.Thread, "start", start)
        assert found.target(None, patient=False) == first
    assert found._again_at > 0  # not at every call
    monkeypatch.setattr(found, "_again_at", 0.0)
    while found.target(None, patient=False) == first:
        threading.Event().wait(0.001)
    assert found.target(None, patient=False) == "ipv4:10.0.0.9:1"
