"""Measures what is answered in time when clients ask for more than can be computed."""

from __future__ import annotations

import os
from collections.abc import Callable

from measurement import MEBI, Effort, Result, alternate
from programs import Programs

CHANNELS = 8
DEADLINE = 1.0  # seconds
PEAK_CONCURRENCY = 16


def overload(factor: int, elements: int) -> Callable[[str, Programs, Effort], Result]:
    """Returns the measurement of an open load of `factor` times the peak rate.

    The server has half of the processors and the load the other half: a load that cannot be
    stopped from asking would else take most of the server's time, and the ratio would tell how
    the kernel shares out processors.
    """

    def run(name: str, programs: Programs, effort: Effort) -> Result:
        load = {"elements": elements, "channels": CHANNELS, "threads": 2}
        closed = {**load, "concurrency": PEAK_CONCURRENCY, "duration": f"{effort.seconds}s"}
        # The load runs for two deadlines before it is measured, so that the queues are full.
        opened = {
            **load,
            "concurrency": 65536,
            "timeout": f"{DEADLINE}s",
            "duration": f"{effort.seconds}s",
            "warmup": f"{2 * DEADLINE}s",
        }
        tails: list[float] = []
        servers_cpus, clients_cpus = halves()

        def peak_rate() -> float:
            return float(programs.load(lossd, closed, cpus=clients_cpus)["requests_per_second"])

        with programs.lossd(cpus=servers_cpus) as lossd:
            peak = peak_rate()

            def in_time() -> float:
                flags = {**opened, "rate": factor * peak}
                report = programs.load(lossd, flags, may_fail=True, cpus=clients_cpus)
                tails.append(report["latency_us"]["p99"])
                return float(report["in_time"]) / effort.seconds

            ours, peer = alternate(effort.rounds, in_time, peak_rate)
            resident = lossd.peak_resident_bytes() / MEBI
        what = (
            f"ComputeLoss of {elements} elements answered in time, of {factor} times the peak "
            f"rate in an open loop over {CHANNELS} connections with deadlines of {DEADLINE:.0f} s; "
            f"peer: the peak rate, at concurrency {PEAK_CONCURRENCY}; each on half of the "
            f"processors; the slowest 99th percentile "
            f"of what was answered was {max(tails) / 1000:.0f} ms, the peak of resident memory "
            f"{resident:.0f} MiB"
        )
        return Result(name, ours, peer, ours / peer, "requests/s", what)

    return run


def halves() -> tuple[str, str]:
    """Returns the processors of the server, and those of the load."""
    usable = [str(cpu) for cpu in sorted(os.sched_getaffinity(0))]
    half = len(usable) // 2
    return (",".join(usable[:half]), ",".join(usable[half:])) if half else ("", "")
