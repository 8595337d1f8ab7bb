"""Measures the resident memory of lossd as work grows, against what its budget allows."""

from __future__ import annotations

from collections.abc import Callable

from measurement import MEBI, Effort, Measurement, Result
from programs import Programs

Run = Callable[[str, Programs, Effort], Result]

MESSAGE = 4 * MEBI  # bytes of a request's logits and targets
# The process takes so many bytes for one of --max_inflight_bytes, because messages lie in memory
# before they are admitted (README.md, "What a container needs").
BYTES_PER_BUDGET = 2.25
# A stream of ComputeLosses reads no further while permits of so many bytes are unanswered
# (ARCHITECTURE.md, "Many requests on one stream").
UNANSWERED = 64 * MEBI


def peak(clients: int, budget: int) -> Run:
    """Measures the peak with `clients` connections that each keep a request in flight."""

    def run(name: str, programs: Programs, effort: Effort) -> Result:
        elements = MESSAGE // 8
        load = {
            "elements": elements,
            "channels": clients,
            "concurrency": clients,
            "threads": 2,
            "duration": f"{effort.rounds * effort.seconds}s",
            "warmup": "0s",
        }
        with programs.lossd(f"--max_inflight_bytes={budget}") as lossd:
            start = lossd.resident_bytes()
            report = programs.load(lossd, load, may_fail=True)
            ours = lossd.peak_resident_bytes() / MEBI
        if not report["requests"]:
            raise RuntimeError(f"no request was answered: {report['errors']}")
        bound = (start + BYTES_PER_BUDGET * budget) / MEBI
        what = (
            f"peak resident memory of lossd (VmHWM) with {clients} connections that each keep a "
            f"request of {MESSAGE} bytes in flight ({report['requests']} answered, "
            f"{sum(report['errors'].values())} refused); peer: its memory after the start "
            f"({start / MEBI:.0f} MB) and {BYTES_PER_BUDGET} times --max_inflight_bytes={budget} "
            "(smaller is better)"
        )
        return Result(name, ours, bound, ours / bound, "MB", what)

    return run


def stream_growth(name: str, programs: Programs, effort: Effort) -> Result:
    del effort  # the promise is about a tensor of this size
    load = {"stream": "true", "warmup": "0s", "requests": 1, "duration": "600s", "timeout": "600s"}
    with programs.lossd() as lossd:
        programs.load(lossd, {**load, "elements": MEBI})
        before = lossd.resident_bytes()
        report = programs.load(lossd, {**load, "elements": 1 << 30})
        growth = (lossd.peak_resident_bytes() - before) / MEBI
    what = (
        "growth of lossd's peak resident memory by one StreamLoss of 1073741824 float32 elements "
        f"({report['elements_per_second'] / 1e6:.0f} million elements/s), after one of 1048576; "
        "peer: the 256 MB that it may grow by (smaller is better)"
    )
    return Result(name, growth, 256.0, growth / 256.0, "MB", what)


def stream_bound(outstanding: int, message: int, permit: int) -> int:
    """Returns the bytes that a stream of ComputeLosses may hold.

    Unanswered entries hold a permit each, for their message and their answer. The entry that
    reaches the stream's limit is still taken, and one message more lies in gRPC, unread.
    """
    return min(outstanding * permit, UNANSWERED + permit) + message


def session_growth(outstanding: int) -> Run:
    """Measures 2^30 elements as entries of ComputeLosses, `outstanding` of them in flight."""

    def run(name: str, programs: Programs, effort: Effort) -> Result:
        del effort  # the promise is about this number of elements
        load = {
            "session": "true",
            "elements": MEBI,
            "concurrency": outstanding,
            "warmup": "0s",
            "duration": "600s",
            "timeout": "600s",
        }
        with programs.lossd() as lossd:
            programs.load(lossd, {**load, "requests": 1})
            before = lossd.resident_bytes()
            report = programs.load(lossd, {**load, "requests": 1024})
            growth = (lossd.peak_resident_bytes() - before) / MEBI
        message, gradient = 8 * MEBI, 4 * MEBI  # of 1048576 float32 elements
        bound = stream_bound(outstanding, message, message + gradient) / MEBI
        what = (
            "growth of lossd's peak resident memory by 1024 entries of 1048576 float32 elements in "
            f"one ComputeLosses, {outstanding} of them in flight "
            f"({report['elements_per_second'] / 1e6:.0f} million elements/s), after one; peer: the "
            "messages and gradients of those entries, at most 64 MB and one entry of 12 MB, and "
            "one message of 8 MB that waits (smaller is better)"
        )
        return Result(name, growth, bound, growth / bound, "MB", what)

    return run


def requests_growth(name: str, programs: Programs, effort: Effort) -> Result:
    del effort  # the promise is about this number of requests
    small = {"elements": 64, "concurrency": 64, "threads": 2, "warmup": "0s"}
    with programs.lossd() as lossd:
        programs.load(lossd, {**small, "requests": 100_000, "duration": "120s"})
        before = lossd.resident_bytes()
        report = programs.load(lossd, {**small, "requests": 1_000_000, "duration": "300s"})
        growth = (lossd.resident_bytes() - before) / MEBI
    what = (
        f"growth of lossd's resident memory over {report['requests']} requests of 64 elements, "
        "after 100000 to warm up; peer: the 4 MB that it may grow by (smaller is better)"
    )
    return Result(name, growth, 4.0, growth / 4.0, "MB", what)


MEMORY_MEASUREMENTS: dict[str, Measurement] = {
    "rss_peak_4MB_c1": Measurement(None, peak(1, 32 * MEBI), ceiling=1.0),
    "rss_peak_4MB_c16": Measurement(None, peak(16, 256 * MEBI), ceiling=1.0),
    "rss_peak_4MB_c256": Measurement(None, peak(256, 256 * MEBI), ceiling=1.0),
    "rss_growth_stream_1Gi": Measurement(None, stream_growth, ceiling=1.0),
    "rss_growth_session_1Gi": Measurement(None, session_growth(4), ceiling=1.0),
    "rss_growth_session_1Gi_c16": Measurement(None, session_growth(16), ceiling=1.0),
    "rss_growth_1M_requests": Measurement(None, requests_growth, ceiling=1.0),
}
