"""A collector that is slow, away or unwilling delays no call, and its address is checked."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from pathlib import Path

import grpc
import pytest
from lossd import conversion
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTracePartialSuccess
from otlp_receiver import Answer, Receiver
from running_server import BINARIES, RunningServer, running_server
from traced_calls import (
    EXPORTED,
    OTHER_SAMPLED,
    OTHER_TRACE_ID,
    SAMPLED,
    SECONDS,
    await_metric,
    call,
    dropped,
    request,
)

TELEMETRY = ("LOSSD_", "OTEL_")


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_collector_that_asks_for_patience_gets_the_spans_later(
    traced_server: RunningServer, receiver: Receiver, status: int
) -> None:
    receiver.say(Answer(status, {"Retry-After": "1"}))
    call(traced_server, SAMPLED)
    assert len(receiver.await_spans("reply")) == 5
    assert receiver.requests == 2
    await_metric(traced_server, EXPORTED, 5)


def test_a_collector_that_refuses_is_not_asked_again(
    traced_server: RunningServer, receiver: Receiver
) -> None:
    refusals = [400, 401, 404, 413, 500, 301]
    for asked, status in enumerate(refusals):
        receiver.say(Answer(status))
        call(traced_server, SAMPLED)
        receiver.await_requests(asked + 1)
    call(traced_server, OTHER_SAMPLED)
    spans = receiver.await_spans("reply")
    assert {span.trace_id for span in spans} == {OTHER_TRACE_ID}
    await_metric(traced_server, dropped("refused"), 5 * len(refusals))


def test_a_collector_may_refuse_some_spans(
    traced_server: RunningServer, receiver: Receiver
) -> None:
    receiver.say(Answer(partial=ExportTracePartialSuccess(rejected_spans=2, error_message="full")))
    call(traced_server, SAMPLED)
    receiver.await_requests(1)
    call(traced_server, SAMPLED)
    receiver.await_requests(2)
    await_metric(traced_server, dropped("refused"), 2)
    await_metric(traced_server, EXPORTED, 5 + 3)


def test_a_collector_that_is_away_delays_no_call_and_no_end(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with socket.socket() as bound:  # nobody listens there
        bound.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{bound.getsockname()[1]}/v1/traces"
        with (
            path.open("w") as log,
            running_server(f"--otlp_endpoint={endpoint}", "--rpc_threads=1", log=log) as server,
        ):
            for _ in range(100):
                call(server, SAMPLED)
    lines = [line for line in path.read_text().splitlines() if "spans are not exported" in line]
    assert len(lines) == 1  # a minute
    assert "Failed to connect" in lines[0] or "Couldn't connect" in lines[0]


def test_what_a_slow_collector_has_no_time_for_is_dropped_and_counted(receiver: Receiver) -> None:
    answers = threading.Event()
    receiver.say(*(Answer(after=answers) for _ in range(100)))
    with running_server(f"--otlp_endpoint={receiver.endpoint}") as server:
        with grpc.insecure_channel(server.address) as channel:
            compute = channel.unary_unary(conversion.COMPUTE_LOSS)
            body = request().SerializeToString()
            calls = [compute.future(body, metadata=(SAMPLED,)) for _ in range(3000)]
            for one in calls:
                one.result(SECONDS)
        # One batch is on its way, and as many calls wait as there is room for.
        await_metric(server, dropped("queue_full"), 5 * (3000 - 2048 - 128))
        answers.set()


ENDPOINTS = [
    "collector:4318",
    "http://",
    "http://collector:4318",
    "http://collector:4318/",
    "grpc://collector:4317/v1/traces",
    "file:///etc/passwd",
    "http://me:secret@collector/v1/traces",
    "http://collector:99999/v1/traces",
    "http://a b/v1/traces",
    "/v1/traces",
    "\n",
]


def start(*flags: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a server that is to end at once, because of its flags or its variables."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(TELEMETRY)}
    return subprocess.run(
        [str(BINARIES / "server/lossd"), "--listen=127.0.0.1:0", *flags],
        capture_output=True,
        text=True,
        env=kept | environment,
        timeout=SECONDS,
        check=False,
    )


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_an_endpoint_that_is_none_is_refused(endpoint: str) -> None:
    done = start(f"--otlp_endpoint={endpoint}")
    assert done.returncode == 2
    assert f"--otlp_endpoint={endpoint}: must be a URL such as http" in done.stderr


def test_variables_of_opentelemetry_that_are_wrong_are_named() -> None:
    done = start(OTEL_EXPORTER_OTLP_ENDPOINT="collector")
    assert (done.returncode, done.stdout) == (2, "")
    assert "OTEL_EXPORTER_OTLP_ENDPOINT=collector: must be a URL" in done.stderr
    done = start(OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="http://collector")
    assert "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://collector: must be a URL" in done.stderr
    assert "--otlp_service_name=: must be a name" in start("--otlp_service_name=").stderr


def test_variables_of_opentelemetry_set_the_collector(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint.removesuffix("v1/traces"))
    monkeypatch.setenv("OTEL_SERVICE_NAME", "losses of team a")
    with running_server() as server:
        call(server, SAMPLED)
        spans = receiver.await_spans("reply")
    assert spans[0].resource["service.name"] == "losses of team a"


# Its arguments are the server's address and the endpoint of the collector.
