"""A real Prometheus scrapes a server in a storm: every accepted call ends exactly once.

The tests need the distribution's package `prometheus`, and grpcio. They encode requests by
hand, so that they do not depend on lossd's own clients.
"""

import json
import os
import re
import signal
import struct
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
import pytest
from running_server import RunningServer, running_server

BINARIES = Path(os.environ.get("LOSSD_BINARY_DIR", "build/dev"))
TIMEOUT = 30  # seconds, the limit of every wait
MAX_SCRAPES = 100  # the limit of the wait for the last call's end


class Program:
    """A child process whose output is read line by line."""

    def __init__(self, arguments: list[str]) -> None:
        self._process = subprocess.Popen(
            arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self._changed = threading.Condition()
        self._text = ""
        self._ended = False
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._changed:
                self._text += line
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def wait_for(self, pattern: str) -> re.Match[str]:
        with self._changed:
            self._changed.wait_for(lambda: self._ended or re.search(pattern, self._text), TIMEOUT)
            found = re.search(pattern, self._text)
            assert found is not None, f"no {pattern!r} in {self._text}"
            return found

    def stop(self) -> int:
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(timeout=60)
        self._reader.join()
        return code


class ScrapeGate:
    """Forwards scrapes to a /metrics page and counts them."""

    def __init__(self, target: str) -> None:
        self._changed = threading.Condition()
        self._scrapes = 0
        page = f"http://{target}/metrics"
        gate = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                gate._count()
                with urllib.request.urlopen(page, timeout=TIMEOUT) as metrics:
                    body = metrics.read()
                self.send_response(200)
                self.send_header("Content-Type", metrics.headers["Content-Type"])
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def _count(self) -> None:
        with self._changed:
            self._scrapes += 1
            self._changed.notify_all()

    def wait_for_stored_scrape(self) -> None:
        """Waits until a scrape that begins from now on is in Prometheus's storage.

        Prometheus stores what it has scraped before it scrapes the same target again.
        """
        with self._changed:
            wanted = self._scrapes + 2
            assert self._changed.wait_for(lambda: self._scrapes >= wanted, TIMEOUT)

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Prometheus:
    """A running Prometheus that scrapes one address."""

    def __init__(self, target: str, folder: Path) -> None:
        config = folder / "prometheus.yml"
        # Every JSON document is also YAML.
        scrape = {"job_name": "lossd", "static_configs": [{"targets": [target]}]}
        config.write_text(
            json.dumps({"global": {"scrape_interval": "200ms"}, "scrape_configs": [scrape]})
        )
        self.program = Program(
            [
                "prometheus",
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'data'}",
                "--web.listen-address=127.0.0.1:0",
            ]
        )
        listening = self.program.wait_for(r'"Listening on" address=(127\.0\.0\.1:[1-9]\d*)')
        self._base = f"http://{listening.group(1)}"
        self.program.wait_for("Server is ready to receive web requests")

    def value(self, query: str, at: float) -> float:
        """Returns the query's value at that time, or NaN without one."""
        parameters = urllib.parse.urlencode({"query": query, "time": at})
        with urllib.request.urlopen(f"{self._base}/api/v1/query?{parameters}") as reply:
            answer = json.load(reply)
        assert answer["status"] == "success", answer
        result = answer["data"]["result"]
        return float(result[0]["value"][1]) if result else float("nan")


@pytest.fixture
def server() -> Iterator[RunningServer]:
    # The small limit makes the server refuse some calls of a storm.
    with running_server("--max_inflight_requests=16") as running:
        yield running


@pytest.fixture
def gate(server: RunningServer) -> Iterator[ScrapeGate]:
    open_gate = ScrapeGate(server.metrics)
    yield open_gate
    open_gate.close()


@pytest.fixture
def prometheus(gate: ScrapeGate, tmp_path: Path) -> Iterator[Prometheus]:
    running = Prometheus(gate.address, tmp_path)
    yield running
    assert running.program.stop() == 0


def field(number: int, payload: bytes) -> bytes:
    """Encodes a length-delimited protobuf field."""
    length = len(payload)
    encoded = bytearray()
    while length >= 0x80:
        encoded.append(length & 0x7F | 0x80)
        length >>= 7
    encoded.append(length)
    return bytes([number << 3 | 2]) + bytes(encoded) + payload


def request(logits: list[float], targets: list[float]) -> bytes:
    """Encodes a ComputeLossRequest with both tensors as `values`."""
    logits_tensor = field(4, struct.pack(f"<{len(logits)}d", *logits))
    targets_tensor = field(4, struct.pack(f"<{len(targets)}d", *targets))
    return field(2, logits_tensor) + field(3, targets_tensor)


class Storm:
    """Sends all kinds of calls at once and counts how they ended at the client."""

    KINDS = (
        request([0.5, -1.0], [1.0, 0.0]),
        request([0.25] * 200_000, [1.0] * 200_000),
        request([0.5], [1.5]),
        request([float("nan")], [1.0]),
        request([0.5, 1.0], [1.0]),
        b"\xff not a message",
    )

    def __init__(self, channel: grpc.Channel) -> None:
        self._compute = channel.unary_unary("/lossd.v1.LossService/ComputeLoss")
        self._info = channel.unary_unary("/lossd.v1.LossService/GetServerInfo")
        self.seen: Counter[grpc.StatusCode] = Counter()

    def blow(self) -> None:
        # Some small calls expire or are cancelled while they wait behind large ones.
        calls = []
        for i in range(120):
            message = self.KINDS[i % len(self.KINDS)]
            deadline = 0.02 if i % 7 == 0 else 30
            calls.append(self._compute.future(message, timeout=deadline))
            if i % 5 == 0:
                calls[i // 2].cancel()
        calls.append(self._info.future(b"", timeout=30))
        for call in calls:
            try:
                code = call.code()  # waits for the end of the call
            except grpc.FutureCancelledError:
                code = grpc.StatusCode.CANCELLED
            self.seen[code] += 1


TOTALS = {
    "accepted": "sum(lossd_accepted_total)",
    "ok": 'sum(lossd_requests_total{code="OK"})',
    "cancelled": 'sum(lossd_requests_total{code="CANCELLED"})',
    "expired": 'sum(lossd_requests_total{code="DEADLINE_EXCEEDED"})',
    "errors": ('sum(lossd_requests_total{code!~"OK|CANCELLED|DEADLINE_EXCEEDED"})'),
    "invalid": 'sum(lossd_requests_total{code="INVALID_ARGUMENT"})',
    "unknown": 'sum(lossd_requests_total{code="UNKNOWN"})',
    "timed": "sum(lossd_request_seconds_count)",
    "inflight": "sum(lossd_inflight_requests)",
}


def totals_now(prometheus: Prometheus) -> dict[str, float]:
    """Returns all totals at one time, so from one scrape."""
    now = time.time()
    return {name: prometheus.value(query, now) for name, query in TOTALS.items()}


def test_every_accepted_call_ends_exactly_once(
    server: RunningServer, gate: ScrapeGate, prometheus: Prometheus
) -> None:
    with grpc.insecure_channel(server.address) as channel:
        storm = Storm(channel)
        for _ in range(5):
            storm.blow()

    answered = storm.seen[grpc.StatusCode.OK]
    invalid = storm.seen[grpc.StatusCode.INVALID_ARGUMENT]
    assert answered > 0, storm.seen
    assert invalid > 0, storm.seen

    # The server may still be working on calls that the client has cancelled.
    for _ in range(MAX_SCRAPES):
        gate.wait_for_stored_scrape()
        last = totals_now(prometheus)
        if last["ok"] >= answered and last["inflight"] == 0 and is_balanced(last):
            break
    else:
        raise AssertionError(f"no balanced scrape shows the storm: {last}; saw {storm.seen}")
    # The client ends a cancelled or expired call before the server does, so their counts
    # may differ. But every answer that the client got must have been counted.
    assert last["invalid"] >= invalid
    assert last["accepted"] <= sum(storm.seen.values())
    assert last["timed"] == last["accepted"]
    assert last["unknown"] == 0


def is_balanced(totals: dict[str, float]) -> bool:
    ends = ("ok", "errors", "cancelled", "expired")
    return totals["accepted"] == sum(totals[end] for end in ends)
