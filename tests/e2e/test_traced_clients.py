"""Clients send the traceparent of their callers, so that the server's spans are in their trace."""

from __future__ import annotations

import subprocess
import sys

import pytest
from otlp_receiver import Receiver
from running_server import BINARIES, RunningServer, lossbench
from traced_calls import CALL, PARENT_ID, SAMPLED, SECONDS, SESSION, STREAM, TRACE_ID

# Its arguments are the server's address and the endpoint of the collector.
INSTRUMENTED = """
import asyncio, sys
import lossd, numpy as np
from opentelemetry import trace
from opentelemetry.instrumentation.grpc import GrpcAioInstrumentorClient, GrpcInstrumentorClient
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased

address, sampled = sys.argv[1:]
sampler = ParentBased(ALWAYS_ON if sampled == "sampled" else ALWAYS_OFF)
trace.set_tracer_provider(TracerProvider(sampler))
GrpcInstrumentorClient().instrument()
GrpcAioInstrumentorClient().instrument()
ones = np.ones(1000, np.float32)

async def calls():
    async with lossd.AsyncClient(address, token="x") as client:
        await client.compute_loss(ones, ones)

with trace.get_tracer("train").start_as_current_span("step") as step:
    with lossd.Client(address) as client:
        client.compute_loss(ones, ones)
        with client.session() as session:
            session.compute_loss(ones, ones)
    with lossd.Client(address, stream_above_bytes=0) as client:
        client.compute_loss(ones, ones)
    asyncio.run(calls())
    print(f"{step.get_span_context().trace_id:032x}")
"""


def instrumented(traced_server: RunningServer, sampled: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", INSTRUMENTED, traced_server.address, sampled],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_spans_of_a_python_client_that_is_instrumented_are_parents(
    traced_server: RunningServer, receiver: Receiver
) -> None:
    instrumented(traced_server, "not sampled")
    trace_id = instrumented(traced_server, "sampled")
    spans = receiver.await_spans(CALL, 2)  # the second one, of asyncio, is the last call
    assert {span.trace_id for span in spans} == {trace_id}
    calls = sorted(span.name for span in spans if span.name.startswith("lossd"))
    assert calls == [CALL, CALL, SESSION, STREAM]


def test_lossbench_sends_a_traceparent(traced_server: RunningServer, receiver: Receiver) -> None:
    lossbench(traced_server, f"--traceparent={SAMPLED[1]}", "--requests=3", "--warmup=0s")
    receiver.await_spans(CALL, 4)  # one more is checked before


@pytest.mark.parametrize("program", ["lossctl", "lossbench"])
@pytest.mark.parametrize("traceparent", ["xx", "00\n", SAMPLED[1].replace("00-", "ff-")])
def test_what_is_no_traceparent_is_refused(program: str, traceparent: str) -> None:
    command = [str(BINARIES / "client" / program), f"--traceparent={traceparent}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"{program}: --traceparent={traceparent[:2]}")
    assert ": must be a traceparent of W3C Trace Context, such as 00-" in done.stderr


def test_lossctl_sends_a_traceparent(traced_server: RunningServer, receiver: Receiver) -> None:
    command = [str(BINARIES / "client/lossctl"), "compute", f"--target={traced_server.address}"]
    command += ["--logits=1,2", "--targets=0,1", f"--traceparent={SAMPLED[1]}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=SECONDS)
    (span,) = (span for span in receiver.await_spans("reply") if span.name == CALL)
    assert (span.trace_id, span.parent_id) == (TRACE_ID, PARENT_ID)
