"""Measures what traces cost calls that are not sampled."""

from __future__ import annotations

from measurement import Effort, Measurement, Result, alternate
from peer_measurements import closed_loop
from programs import Programs

ELEMENTS, CONCURRENCY = 64, 64
# The traceparent of an instrumented client for a call that it does not sample.
UNSAMPLED = f"00-{'a' * 32}-{'b' * 16}-00"
# Nothing is sent there, because nothing is sampled.
NOBODY = "http://127.0.0.1:9/v1/traces"


def unsampled_and_none(name: str, programs: Programs, effort: Effort) -> Result:
    load = {**closed_loop(ELEMENTS, CONCURRENCY, effort), "traceparent": UNSAMPLED}
    with programs.lossd(f"--otlp_endpoint={NOBODY}") as traced, programs.lossd() as plain:
        ours, peer = alternate(
            effort.rounds,
            lambda: float(programs.load(traced, load)["requests_per_second"]),
            lambda: float(programs.load(plain, load)["requests_per_second"]),
        )
    what = (
        f"ComputeLoss of {ELEMENTS} float32 elements at concurrency {CONCURRENCY} over TCP, with a "
        "traceparent that is not sampled, to a server with --otlp_endpoint; peer: the same to one "
        f"without; same client, one connection, {programs.server_threads} RPC threads each"
    )
    return Result(name, ours, peer, ours / peer, "requests/s", what)


TRACING_MEASUREMENTS: dict[str, Measurement] = {
    "tracing_unsampled_vs_none": Measurement(0.99, unsampled_and_none),
}
