"""A real server makes spans of the calls that their caller samples, and of no others."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import grpc
import numpy as np
import pytest
from lossd import conversion, streaming
from lossd.v1 import loss_service_pb2
from otlp_receiver import Receiver, Span
from running_server import RunningServer, running_server
from traced_calls import (
    CALL,
    ENTRY,
    EXPORTED,
    OTHER_SAMPLED,
    OTHER_TRACE_ID,
    PARENT_ID,
    SAMPLED,
    SESSION,
    STREAM,
    TRACE_ID,
    await_metric,
    call,
    request,
    stream,
)

STAGES = ["receive", "queue", "compute", "reply"]
PARENT = f"{TRACE_ID}-{PARENT_ID}"


def of(spans: list[Span], parent: Span) -> dict[str, Span]:
    return {span.name: span for span in spans if span.parent_id == parent.span_id}


def expect_stages_of(parent: Span, stages: dict[str, Span]) -> None:
    """Expects that the stages follow each other from the beginning of the parent to its end."""
    assert list(stages) == STAGES
    edges = [parent.start]
    for stage in stages.values():
        assert stage.trace_id == parent.trace_id
        assert stage.start == edges[-1]
        edges.append(stage.end)
    assert edges[-1] == parent.end
    assert edges == sorted(edges)


def test_a_sampled_call_has_a_span_for_each_stage(
    traced_server: RunningServer, receiver: Receiver
) -> None:
    call(traced_server, SAMPLED, ("tracestate", "rojo=1"), elements=5000, request_id="mine")
    spans = receiver.await_spans("reply")
    (server_span,) = (span for span in spans if span.name == CALL)
    assert (server_span.trace_id, server_span.parent_id) == (TRACE_ID, PARENT_ID)
    assert server_span.raw.kind == server_span.raw.SPAN_KIND_SERVER
    assert server_span.raw.flags == 0x301
    assert server_span.raw.trace_state == "rojo=1"
    assert server_span.attributes == {
        "rpc.system": "grpc",
        "rpc.service": "lossd.v1.LossService",
        "rpc.method": "ComputeLoss",
        "rpc.grpc.status_code": 0,
        "lossd.loss": "sigmoid_cross_entropy",
        "lossd.dtype": "float32",
        "lossd.elements": 5000,
        "lossd.request_id": "mine",
    }
    stages = of(spans, server_span)
    expect_stages_of(server_span, stages)
    assert str(stages["compute"].attributes.pop("lossd.backend")).startswith("cpu/")
    assert stages["compute"].attributes == {"lossd.batch_requests": 1, "lossd.batch_elements": 5000}
    assert len({span.span_id for span in spans}) == len(spans) == 5
    assert server_span.resource["service.name"] == "lossd"
    assert server_span.resource["service.version"]
    assert server_span.resource["host.name"] == socket.gethostname()
    assert server_span.resource["process.pid"] == traced_server.process.pid
    await_metric(traced_server, EXPORTED, 5)


def test_a_call_that_is_not_sampled_or_wrongly_has_no_span(
    traced_server: RunningServer, receiver: Receiver
) -> None:
    for traceparent in (
        f"00-{PARENT}-00",
        "",
        f"00-{PARENT}",
        f"00-{PARENT}-01-more",
        f"ff-{PARENT}-01",
        f"00-{PARENT.upper()}-01",
        f"00-{'0' * 32}-{PARENT_ID}-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        f"00-{PARENT}-0x",
        "x" * 4000,
    ):
        call(traced_server, ("traceparent", traceparent))
    call(traced_server)
    call(traced_server, ("tracestate", "rojo=1"))
    call(traced_server, ("grpc-trace-bin", bytes(range(1, 30))))
    call(traced_server, OTHER_SAMPLED)
    spans = receiver.await_spans("reply")
    assert {span.trace_id for span in spans} == {OTHER_TRACE_ID}
    assert len(spans) == 5


def test_a_later_version_and_other_flags_are_understood(
    traced_server: RunningServer, receiver: Receiver
) -> None:
    call(traced_server, ("traceparent", f"cc-{PARENT}-03-what-comes"))
    (server_span,) = (span for span in receiver.await_spans("reply") if span.name == CALL)
    assert server_span.raw.flags == 0x303


@pytest.mark.parametrize(
    ("states", "passed"),
    [(("a=1", "b=2"), "a=1,b=2"), (("a=" + "x" * 510,), "a=" + "x" * 510), (("x" * 513,), "")],
)
def test_a_tracestate_is_passed_on_if_it_is_not_too_long(
    traced_server: RunningServer, receiver: Receiver, states: tuple[str, ...], passed: str
) -> None:
    call(traced_server, SAMPLED, *(("tracestate", state) for state in states))
    for span in receiver.await_spans("reply"):
        assert span.raw.trace_state == passed


def test_a_call_that_is_wrong_says_why(traced_server: RunningServer, receiver: Receiver) -> None:
    with pytest.raises(grpc.RpcError):
        call(traced_server, SAMPLED, target=1.5)
    spans = receiver.await_spans("reply")
    (server_span,) = (span for span in spans if span.name == CALL)
    assert server_span.attributes["rpc.grpc.status_code"] == 3
    assert str(server_span.attributes["lossd.reason"]).startswith("targets[0]: 1.5")
    assert server_span.raw.status.code == 0  # it is not the traced_server's fault
    assert list(of(spans, server_span)) == STAGES


def test_a_call_that_is_refused_is_not_queued(receiver: Receiver) -> None:
    flags = (f"--otlp_endpoint={receiver.endpoint}", "--max_inflight_bytes=1000000")
    with running_server(*flags) as server, pytest.raises(grpc.RpcError) as raised:
        call(server, SAMPLED, elements=100_000)
    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    spans = receiver.await_spans("reply")
    (server_span,) = (span for span in spans if span.name == CALL)
    assert server_span.attributes["lossd.elements"] == 100_000
    assert list(of(spans, server_span)) == ["receive", "reply"]


def test_a_call_without_the_token_has_no_span(receiver: Receiver, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("secret\n")
    flags = (f"--otlp_endpoint={receiver.endpoint}", f"--token_file={tokens}")
    with running_server(*flags) as server:
        with pytest.raises(grpc.RpcError):
            call(server, SAMPLED)
        call(server, OTHER_SAMPLED, ("authorization", "Bearer secret"))
        spans = receiver.await_spans("reply")
    assert {span.trace_id for span in spans} == {OTHER_TRACE_ID}


def test_a_stream_has_the_stages_of_its_windows_together(
    traced_server: RunningServer, receiver: Receiver
) -> None:
    ones = np.ones(1_000_000, np.float32)
    messages = streaming.LossStream(ones, ones).messages()
    stream(traced_server, conversion.STREAM_LOSS, messages, SAMPLED)
    spans = receiver.await_spans("reply")
    (server_span,) = (span for span in spans if span.name == STREAM)
    assert server_span.attributes["rpc.method"] == "StreamLoss"
    assert server_span.attributes["lossd.elements"] == 1_000_000
    stages = of(spans, server_span)
    expect_stages_of(server_span, stages)
    assert list(stages["compute"].attributes) == ["lossd.backend"]


def test_each_entry_of_a_session_has_spans_below_those_of_the_session(
    traced_server: RunningServer, receiver: Receiver
) -> None:
    entries = loss_service_pb2.ComputeLossesRequest()
    entries.entries.add(id=7, request=request(100, request_id="seven"))
    entries.entries.add(id=8, request=request(3, target=2))
    entries.entries.add(id=0)
    stream(traced_server, conversion.COMPUTE_LOSSES, iter([entries.SerializeToString()]), SAMPLED)
    spans = receiver.await_spans(SESSION)
    (session,) = (span for span in spans if span.name == SESSION)
    assert (session.trace_id, session.parent_id) == (TRACE_ID, PARENT_ID)
    assert session.attributes["lossd.entry_count"] == 3
    found = {span.attributes["lossd.entry_id"]: span for span in spans if span.name == ENTRY}
    assert sorted(found) == [0, 7, 8]
    for entry in found.values():
        assert (entry.trace_id, entry.parent_id) == (TRACE_ID, session.span_id)
        assert entry.raw.kind == entry.raw.SPAN_KIND_INTERNAL
    expect_stages_of(found[7], of(spans, found[7]))
    assert found[7].attributes["lossd.request_id"] == "seven"
    assert found[7].attributes["lossd.elements"] == 100
    assert found[8].attributes["rpc.grpc.status_code"] == 3
    assert str(found[8].attributes["lossd.reason"]).startswith("targets[0]: 2")
    assert list(of(spans, found[0])) == ["receive", "reply"]
    assert len(spans) == 1 + 5 + 5 + 3


def test_the_log_has_the_trace_of_a_call(receiver: Receiver, tmp_path: Path) -> None:
    path = tmp_path / "log"
    flags = ("--log_level=debug", "--log_format=json", f"--otlp_endpoint={receiver.endpoint}")
    with path.open("w") as log, running_server(*flags, log=log) as server:
        call(server, SAMPLED)
        call(server)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line.get("trace_id") for line in lines if "method" in line] == [TRACE_ID, None]
