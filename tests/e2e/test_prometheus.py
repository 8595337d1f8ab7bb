"""A real Prometheus scrapes a server in a storm: every accepted call ends exactly once.

The tests need the distribution's package `prometheus`, and grpcio. They encode requests by
hand, so that they do not depend on lossd's own clients.
"""

import struct
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from prometheus_server import Prometheus, ScrapeGate
from running_server import RunningServer, running_server

MAX_SCRAPES = 100  # the limit of the wait for the last call's end


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
    running = Prometheus([gate.address], tmp_path)
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
