"""A real Prometheus scrapes a server in a storm: every accepted call ends once.

Needs the distribution's package `prometheus`, and grpcio. Requests are bytes made by
hand, so that this test does not hang on a client of ours.
"""

import json
import os
import re
import signal
import struct
import subprocess
import time
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import grpc
import pytest

BINARIES = Path(os.environ.get("LOSSD_BINARY_DIR", "build/dev"))
ATTEMPTS = 200  # of anything that is waited for, 0.1 s apart

T = TypeVar("T")


def wait_until(condition: Callable[[], T | None], what: str) -> T:
    for _ in range(ATTEMPTS):
        result = condition()
        if result:
            return result
        time.sleep(0.1)
    raise AssertionError(f"{what}: not seen in {ATTEMPTS} attempts")


class Program:
    """A child process whose output goes to a file."""

    def __init__(self, arguments: list[str], log: Path) -> None:
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(arguments, stdout=output, stderr=subprocess.STDOUT)

    def wait_for(self, pattern: str) -> re.Match[str]:
        def look() -> re.Match[str] | None:
            text = self._log.read_text()
            assert self._process.poll() is None, text
            return re.search(pattern, text)

        return wait_until(look, f"{pattern!r} in {self._log.name}")

    def stop(self) -> int:
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(timeout=60)


class Server:
    """A running lossd; few calls may be inside, so that a storm meets refusals."""

    def __init__(self, folder: Path) -> None:
        self.program = Program(
            [
                str(BINARIES / "server" / "lossd"),
                "--listen=127.0.0.1:0",
                "--metrics_listen=127.0.0.1:0",
                "--max_inflight_requests=16",
            ],
            folder / "lossd.log",
        )
        ready = self.program.wait_for(r"lossd listening on (\S+) metrics on (\S+)")
        self.address, self.metrics_address = ready.groups()


class Prometheus:
    """A running Prometheus that scrapes one address every second."""

    def __init__(self, target: str, folder: Path) -> None:
        config = folder / "prometheus.yml"
        # JSON is YAML.
        scrape = {"job_name": "lossd", "static_configs": [{"targets": [target]}]}
        config.write_text(
            json.dumps({"global": {"scrape_interval": "1s"}, "scrape_configs": [scrape]})
        )
        self.program = Program(
            [
                "prometheus",
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'data'}",
                "--web.listen-address=127.0.0.1:0",
            ],
            folder / "prometheus.log",
        )
        listening = self.program.wait_for(r'"Listening on" address=(127\.0\.0\.1:[1-9]\d*)')
        self._base = f"http://{listening.group(1)}"
        self.program.wait_for("Server is ready to receive web requests")

    def value(self, query: str, at: float) -> float:
        """The sum that the query gives at that time; NaN where there is none."""
        parameters = urllib.parse.urlencode({"query": query, "time": at})
        with urllib.request.urlopen(f"{self._base}/api/v1/query?{parameters}") as reply:
            answer = json.load(reply)
        assert answer["status"] == "success", answer
        result = answer["data"]["result"]
        return float(result[0]["value"][1]) if result else float("nan")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    running = Server(tmp_path)
    yield running
    assert running.program.stop() == 0


@pytest.fixture
def prometheus(server: Server, tmp_path: Path) -> Iterator[Prometheus]:
    running = Prometheus(server.metrics_address, tmp_path)
    yield running
    assert running.program.stop() == 0


def field(number: int, payload: bytes) -> bytes:
    """A length-delimited protobuf field."""
    length = len(payload)
    encoded = bytearray()
    while length >= 0x80:
        encoded.append(length & 0x7F | 0x80)
        length >>= 7
    encoded.append(length)
    return bytes([number << 3 | 2]) + bytes(encoded) + payload


def request(logits: list[float], targets: list[float]) -> bytes:
    """ComputeLossRequest with both tensors as `values`."""
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
        # Small ones that expire or are cancelled stand in line behind large ones.
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
                code = call.code()  # waits
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
    """All totals at one time, so from one scrape."""
    now = time.time()
    return {name: prometheus.value(query, now) for name, query in TOTALS.items()}


def test_every_accepted_call_ends_exactly_once(server: Server, prometheus: Prometheus) -> None:
    with grpc.insecure_channel(server.address) as channel:
        storm = Storm(channel)
        for _ in range(5):
            storm.blow()

    answered = storm.seen[grpc.StatusCode.OK]
    invalid = storm.seen[grpc.StatusCode.INVALID_ARGUMENT]
    assert answered > 0, storm.seen
    assert invalid > 0, storm.seen

    last: dict[str, float] = {}

    def settled() -> bool:
        nonlocal last
        last = totals_now(prometheus)
        return last["ok"] >= answered and last["inflight"] == 0 and is_balanced(last)

    try:
        wait_until(settled, "a balanced scrape that shows the storm")
    except AssertionError as error:
        raise AssertionError(f"{error}; last {last}; client saw {storm.seen}") from None
    # The client hears of a cancellation or an expiry before the server does, so only
    # what both must agree on is compared: at least every answer it got was counted.
    assert last["invalid"] >= invalid
    assert last["accepted"] <= sum(storm.seen.values())
    assert last["timed"] == last["accepted"]
    assert last["unknown"] == 0


def is_balanced(totals: dict[str, float]) -> bool:
    ends = ("ok", "errors", "cancelled", "expired")
    return totals["accepted"] == sum(totals[end] for end in ends)
