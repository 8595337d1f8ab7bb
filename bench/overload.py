"""Measures what is answered in time when clients ask for more than can be computed."""

from __future__ import annotations

from collections.abc import Callable

from measurement import MEBI, Effort, Result, alternate
from programs import Programs

CHANNELS = 8
DEADLINE = 1.0  # seconds
PEAK_CONCURRENCY = 16


def overload(factor: int, elements: int) -> Callable[[str, Programs, Effort], Result]:
    """Returns the measurement of an open load of `factor` times the peak rate.

    The load and the server share the machine. What a call costs that is not answered is
    mostly gRPC's work at both ends, whatever its size: the larger the requests, the fewer
    such calls there are, and the more the ratio says about the server.
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
        with programs.lossd() as lossd:
            peak = float(programs.load(lossd, closed)["requests_per_second"])

            def in_time() -> float:
                flags = {**opened, "rate": factor * peak}
                report = programs.load(lossd, flags, may_fail=True)
                tails.append(report["latency_us"]["p99"])
                return float(report["in_time"]) / effort.seconds

            ours, peer = alternate(
                effort.rounds,
                in_time,
                lambda: float(programs.load(lossd, closed)["requests_per_second"]),
            )
            resident = lossd.peak_resident_bytes() / MEBI
        what = (
            f"ComputeLoss of {elements} elements answered in time, of {factor} times the peak "
            f"rate in an open loop over {CHANNELS} connections with deadlines of {DEADLINE:.0f} s; "
            f"peer: the peak rate, at concurrency {PEAK_CONCURRENCY}; the slowest 99th percentile "
            f"of what was answered was {max(tails) / 1000:.0f} ms, the peak of resident memory "
            f"{resident:.0f} MiB"
        )
        return Result(name, ours, peer, ours / peer, "requests/s", what)

    return run
