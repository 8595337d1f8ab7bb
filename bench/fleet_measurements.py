"""Measures several servers, among which the client balances, against one of as many threads."""

from __future__ import annotations

import contextlib

from measurement import Effort, Measurement, Result, alternate
from programs import Programs
from python_measurements import rate

SERVERS = 3
ELEMENTS, CONCURRENCY = 64 << 10, 6


def balanced_and_one(name: str, programs: Programs, effort: Effort) -> Result:
    """Compares the answers a second of three small servers and of one that is three times as large.

    The load comes from Python, whose clients have one connection to each server.
    """
    load = {"elements": ELEMENTS, "concurrency": CONCURRENCY}

    def flags(threads: int) -> tuple[str, str]:  # the later one of two flags counts
        return (f"--rpc_threads={threads}", f"--cpu_threads={threads}")

    with contextlib.ExitStack() as servers:
        several = [servers.enter_context(programs.lossd(*flags(1))) for _ in range(SERVERS)]
        one = servers.enter_context(programs.lossd(*flags(SERVERS)))
        targets = ",".join(server.target for server in several)
        ours, peer = alternate(
            effort.rounds,
            lambda: rate(effort, targets, **load) / ELEMENTS,
            lambda: rate(effort, one.target, **load) / ELEMENTS,
        )
    what = (
        f"compute_loss() of {ELEMENTS} float32 elements from {CONCURRENCY} threads of Python over "
        f"TCP to {SERVERS} servers of one RPC thread and one computing thread each, by round "
        f"robin; peer: the same to one server of {SERVERS} threads each"
    )
    return Result(name, ours, peer, ours / peer, "requests/s", what)


FLEET_MEASUREMENTS: dict[str, Measurement] = {
    "balanced_3_vs_1": Measurement(0.95, balanced_and_one),
}
