"""Tests which texts are the address of a server, and when a proxy is asked."""

from __future__ import annotations

import re
from typing import Any

import lossd
import pytest
from lossd import address

LOCAL = [
    "localhost:1",
    "LOCALHOST:1",
    "127.0.0.1:1",
    "127.9.9.9:1",
    "[::1]:1",
    "unix:/path",
    "unix:///path",
    "unix-abstract:name",
    "dns:///localhost:1",
    "ipv4:127.0.0.1:1,127.0.0.2:1",
    "ipv6:[::1]:1",
]
ELSEWHERE = [
    "host:1",
    "host.example:65535",
    "10.0.0.1:1",
    "[fe80::1%eth0]:1",
    "localhost.example:1",
    "dns:///host:1",
    "dns://8.8.8.8/host:1",
    "ipv4:127.0.0.1:1,10.0.0.1:1",
    "xds:///service",
]


@pytest.mark.parametrize("target", LOCAL + ELSEWHERE)
def test_an_address_is_taken_as_it_is(target: str) -> None:
    assert address.target("target", target) == target
    assert address.is_local(target) == (target in LOCAL)


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("", "'' has no port"),
        ("localhost", "'localhost' has no port; give HOST:PORT or unix:/path"),
        ("localhost:", "has no port"),
        ("127.0.0.1", "has no port"),
        ("[::1]", "has no port"),
        (":50051", "has no host"),
        ("::1", r"is an IPv6 address or has several colons; give \[ADDRESS\]:PORT"),
        ("::1:50051", r"is an IPv6 address or has several colons; give \[ADDRESS\]:PORT"),
        ("a:b:1", r"several colons"),
        ("http://localhost:50051", "is a URL; give HOST:PORT or unix:/path"),
        ("grpc+tls://host:1", "is a URL"),
        ("host:0", "port 0 of 'host:0' is not from 1 to 65535"),
        ("host:65536", "port 65536 .* is not from 1 to 65535"),
        ("host:port", "has the port 'port', which is no number"),
        ("host:5o051", "has the port '5o051', which is no number"),
        ("ho st:1", "has white space"),
        ("host:1\n", "has white space"),
        ("[::1]:port", "has no port"),
        ("unix:", "has no path"),
        ("unix:///", "has no path"),
        ("dns:///host", "has no port; give dns:HOST:PORT"),
        ("dns://host:1", "has no host; give dns:///HOST:PORT"),
    ],
)
def test_what_is_no_address_is_refused_with_what_to_give(target: str, text: str) -> None:
    with pytest.raises(ValueError, match=f"^target: .*{text}"):
        address.target("target", target)


@pytest.mark.parametrize("given", [["a:1", "b:1"], ("a:1", "b:1"), "a:1,b:1", "a:1, b:1"], ids=str)
def test_a_list_is_a_sequence_or_has_commas(given: Any) -> None:
    found = address.targets("target", given)
    assert tuple(found) == ("a:1,b:1", ("a:1", "b:1"), None)
    assert found.several
    assert not address.is_local(found.text)
    assert address.is_local("localhost:1,127.0.0.1:2")


@pytest.mark.parametrize(
    ("given", "several"),
    [
        ("a:1", False),
        (["a:1"], True),
        ("dns:///a:1", True),
        ("ipv4:10.0.0.1:1", False),
        ("ipv4:10.0.0.1:1,10.0.0.2:1", True),
        ("ipv6:[::1]:1,[::2]:1", True),
        ("unix:/a,b", False),
        ("xds:///service", False),
    ],
)
def test_a_list_or_a_name_of_gRPC_may_be_several_servers(given: Any, several: bool) -> None:
    assert address.targets("target", given).several == several


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ([], "an empty list has no server; give HOST:PORT of each"),
        ((), "an empty list has no server"),
        (["a:1", "a:1"], "'a:1' is given twice"),
        (["host:1", "HOST:1"], "'HOST:1' is given twice"),
        (["a:1", "b"], "'b' has no port"),
        (["a:1", "b:0"], "port 0 of 'b:0' is not from 1 to 65535"),
        (["a:1", "unix:/path"], "'unix:/path' in a list of servers; give HOST:PORT of each"),
        (["dns:///a:1"], "'dns:///a:1' in a list of servers"),
        (["a:1,b:1", "c:1"], "'a:1,b:1' is a list in a list; give HOST:PORT of each"),
        ("a:1,unix:/path", "'unix:/path' in a list"),
        ("a:1,", "'a:1,' has an empty text in its list of servers"),
        (["a:1", ""], "['a:1', ''] has an empty text in its list of servers"),
    ],
)
def test_a_bad_list_is_refused_with_the_server(given: Any, text: str) -> None:
    with pytest.raises(ValueError, match=f"^target: {re.escape(text)}"):
        lossd.Client(given)


@pytest.mark.parametrize("given", [None, 3, b"a:1", {"a:1"}, ["a:1", 3], ["a:1", None]])
def test_what_is_no_list_of_texts_is_a_type_error(given: Any) -> None:
    with pytest.raises(
        TypeError, match="^target: .* is (neither a string nor a list|not a string)"
    ):
        lossd.Client(given)


def test_the_proxy_is_the_first_that_grpc_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("grpc_proxy", "https_proxy", "http_proxy"):
        monkeypatch.delenv(variable, raising=False)
    assert address.proxy() is None
    monkeypatch.setenv("http_proxy", "http://user:secret@proxy.example:3128")
    assert address.proxy() == ("http_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("grpc_proxy", "http://other:1")
    assert address.proxy() == ("grpc_proxy", "http://other:1")


def test_a_proxy_is_asked_only_if_told_to_and_named_in_the_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable in ("grpc_proxy", "https_proxy", "no_proxy", "no_grpc_proxy"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # nobody listens there
    outside = "server.invalid:50051"
    for target, told, named in (
        (outside, True, True),
        (outside, False, False),
        ("127.0.0.1:1", True, False),
        ("unix:/nobody", True, False),
    ):
        with (
            lossd.Client(target, use_http_proxy=told) as client,
            pytest.raises(lossd.LossdError) as raised,
        ):
            client.server_info(timeout=20)
        text = f"(for {target} the HTTP proxy http://127.0.0.1:9 of the variable http_proxy"
        assert (text in raised.value.message) == named
        assert ("127.0.0.1:9" in raised.value.message) == named
