"""The files of deploy/ with the addresses of servers that run elsewhere."""

from __future__ import annotations

import pytest

from soak.proxies.proxy import KINDS, NAMES, Backend

BACKENDS = [Backend(f"127.0.0.1:{port}", f"127.0.0.1:{port + 10}") for port in (1001, 1002, 1003)]


@pytest.mark.parametrize("name", list(KINDS))
def test_every_address_is_replaced(name: str) -> None:
    shipped = KINDS[name].file.read_text()
    text = KINDS[name].configured(BACKENDS, 1000)
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    assert all(server in shipped for server in NAMES)
    assert not any(server in line for server in NAMES for line in lines)
    assert not any("50050" in line or "50051" in line for line in lines)


def test_haproxy_checks_each_server_at_its_own_metrics_address() -> None:
    text = KINDS["haproxy"].configured(BACKENDS, 1000)
    assert "  server b 127.0.0.1:1002 port 1012\n" in text


def test_lines_for_tls_are_comments_until_they_are_wanted() -> None:
    envoy = KINDS["envoy"]
    assert "\n      #tls transport_socket:\n" in envoy.configured(BACKENDS, 1000)
    assert "\n      transport_socket:\n" in envoy.configured(BACKENDS, 1000, tls=True)
