"""Every query of the Grafana dashboard has an answer from a real Prometheus under a real load."""

from __future__ import annotations

import contextlib
import math
import re
import socket
from collections.abc import Iterator

import dashboard
import lossd
import pytest
from mixed_load import mixed_load
from prometheus_server import Prometheus, ScrapeGate
from running_server import RunningServer, running_server
from test_tls_renewal import make_certificate

DASHBOARD = dashboard.load()
QUERIES = dashboard.queries(DASHBOARD)
RATE_INTERVAL = "4s"  # of scrapes five times a second
MAX_SCRAPES = 300  # the limit of the wait for data
REGION = 1 << 20  # bytes of shared memory

# Panels that have no data here, or only zeros, and why.
ABSENT = {"Devices": "there is no GPU"}
ZERO = {"Not serving": "no server drains"}


def filled_in(query: str) -> str:
    return dashboard.filled_in(query, dashboard.variables(DASHBOARD), RATE_INTERVAL)


def fail_a_handshake(server: RunningServer) -> None:
    host, port = server.address.split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(b"this is not TLS\r\n\r\n")


class Fleet:
    """Three servers under load, one of them with TLS, and a Prometheus that watches them."""

    def __init__(self, prometheus: Prometheus, gate: ScrapeGate, secure: RunningServer) -> None:
        self._prometheus = prometheus
        self._gate = gate
        self._secure = secure

    def values(self, query: str) -> list[float]:
        return self._prometheus.values(filled_in(query))

    def refusal(self, query: str) -> str:
        """Returns why Prometheus refuses a query, or nothing."""
        return str(self._prometheus.get("query", query=filled_in(query)).get("error", ""))

    def wait_for_value(self, query: str) -> list[float]:
        """Waits until the query has a number above 0. Returns the last answer."""
        values: list[float] = []
        for _ in range(MAX_SCRAPES):
            values = self.values(query)
            if any(math.isfinite(value) and value > 0 for value in values):
                break
            fail_a_handshake(self._secure)
            self._gate.wait_for_stored_scrape()
        return values


@pytest.fixture(scope="module", name="fleet")
def watched_fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("fleet")
    with contextlib.ExitStack() as stack:
        enter = stack.enter_context
        # Few places, so that some calls are refused.
        small = enter(
            running_server("--max_inflight_requests=3", f"--shared_memory_socket={folder}/socket")
        )
        usual = enter(running_server())
        make_certificate(folder, "tls")
        tls = [f"--tls_cert={folder}/tls.pem", f"--tls_key={folder}/tls.key"]
        secure = enter(running_server(*tls))
        memory = enter(lossd.SharedMemory(f"{folder}/socket"))
        region = memory.allocate(REGION, "uint8")
        gate = ScrapeGate(small.metrics)
        stack.callback(gate.close)
        prometheus = Prometheus([gate.address, usual.metrics, secure.metrics], folder)
        stack.callback(prometheus.program.stop)
        enter(mixed_load(small.address))
        enter(mixed_load(usual.address, pause=0.1))
        yield Fleet(prometheus, gate, secure)
        assert region.nbytes == REGION  # it was held all the time


def test_every_variable_in_a_query_is_one_of_the_dashboard() -> None:
    assert len(QUERIES) > 30
    for query in QUERIES:
        assert "$" not in filled_in(query.text), query


def test_every_panel_is_of_the_selected_servers() -> None:
    for query in QUERIES:
        selectors = re.findall(r"\b(?:lossd|process)_\w+(\{[^}]*\})?", query.text)
        assert selectors, query
        assert all('instance=~"$instance"' in selector for selector in selectors), query


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.panel)
def test_the_query_has_data_under_load(fleet: Fleet, query: dashboard.Query) -> None:
    assert fleet.refusal(query.text) == ""
    if query.panel in ABSENT:
        assert fleet.values(query.text) == [], f"{query.panel}: {ABSENT[query.panel]}?"
        return
    if query.panel in ZERO:
        assert fleet.values(query.text) == [0], f"{query.panel}: {ZERO[query.panel]}?"
        return
    values = fleet.wait_for_value(query.text)
    assert any(math.isfinite(value) and value > 0 for value in values), values


def test_a_query_that_is_wrong_is_found(fleet: Fleet) -> None:
    assert "parse error" in fleet.refusal("sum by (code (rate(lossd_requests_total[1m]))")
    assert fleet.values('lossd_request_total{instance=~"$instance"}') == []


def test_the_lists_of_variables_are_not_empty(fleet: Fleet) -> None:
    asked = [v["query"] for v in DASHBOARD["templating"]["list"] if v["type"] == "query"]
    assert asked
    for text in asked:
        found = re.fullmatch(r"label_values\((\w+), (\w+)\)", text)
        assert found, text
        assert fleet.values(f"count by ({found[2]}) ({found[1]})"), text


def test_panels_do_not_overlap_and_have_a_text() -> None:
    taken: set[tuple[int, int]] = set()
    identifiers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(identifiers)) == len(identifiers)
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
        assert panel["type"] == "row" or panel["description"].endswith("."), panel["title"]
