"""Asks for ten times what a server can compute, for ten minutes."""

from __future__ import annotations

import os
from collections.abc import Iterator

from soak.lossbench import load
from soak.row import Row, judged
from soak.server import PATIENCE, Server, Setting, running, wait_until

FACTOR = 10
SECONDS = 600
# The values say how many calls of a size lossbench has under way at most. It needs as long for a
# call of 64 elements as the server does: with more of them, its own queue alone outlasts their
# deadlines, and it sends calls that are late already.
OUTSTANDING = {64: 8_192, 65_536: 65_536, 1_048_576: 65_536}
BUDGET = 256 << 20  # --max_inflight_bytes
# The process takes so many bytes for one of the budget (README.md, "What a container needs").
BYTES_PER_BUDGET = 2.25
# A smaller part of the peak rate is a collapse; the goal is higher and that of ./dev bench.
LEAST_IN_TIME = 0.25
MIB = 1 << 20


def rows(setting: Setting) -> Iterator[Row]:
    for elements, outstanding in OUTSTANDING.items():
        yield overloaded(setting, elements, outstanding, setting.times(SECONDS))


def overloaded(setting: Setting, elements: int, outstanding: int, seconds: int) -> Row:
    servers_cpus, clients_cpus = halves()
    server = Server(
        setting,
        f"--max_inflight_bytes={BUDGET}",
        cpus=servers_cpus,
        name=f"elements-{elements}",
    )
    with running(server):
        least = server.resident_bytes()
        flags = (f"--elements={elements}", "--channels=8")
        peak = load(server, *flags, "--concurrency=16", "--duration=10s", cpus=clients_cpus)
        report = load(
            server,
            *flags,
            f"--concurrency={outstanding}",
            f"--rate={FACTOR * peak['requests_per_second']}",
            "--timeout=1s",
            f"--duration={seconds}s",
            cpus=clients_cpus,
        )
        quiet = wait_until(lambda: in_flight(server) == 0)
        bound = least + BYTES_PER_BUDGET * BUDGET
        resident = server.peak_bytes()
        alive = server.alive()
    failed = {code: count for code, count in report["errors"].items() if count}
    faults = [] if alive else ["the server has ended"]
    if quiet == float("inf"):
        faults.append(f"requests or bytes are in flight {PATIENCE:.0f} s later")
    if resident > bound:
        faults.append(f"more than {bound / MIB:.0f} MiB")
    in_time = report["in_time"] / report["seconds"] / peak["requests_per_second"]
    if in_time < LEAST_IN_TIME:
        faults.append(f"less than {LEAST_IN_TIME} of the peak rate in time")
    return judged(
        "overload",
        f"{FACTOR} times the peak rate for {seconds} s, {elements:,} elements, deadlines of 1 s, "
        f"{outstanding:,} calls under way, server and load on half of the processors each",
        "lossbench",
        times=report["requests"] + report["unsent"] + sum(failed.values()),
        lost=0,
        seen=f"{report['requests']:,} answers, {in_time:.2f} of the peak rate in time; "
        f"{sum(failed.values()):,} calls ended with {', '.join(sorted(failed))}; "
        f"{report['unsent']:,} were more than lossbench could send; "
        f"at most {resident / MIB:.0f} MiB; nothing in flight after {quiet:.1f} s",
        broken="; ".join(faults),
    )


def halves() -> tuple[str, str]:
    """Returns the processors of the server, and those of the load.

    A load that cannot be stopped from asking would else take most of the server's time, and the
    row would tell how the kernel shares out processors.
    """
    usable = [str(cpu) for cpu in sorted(os.sched_getaffinity(0))]
    half = len(usable) // 2
    return (",".join(usable[:half]), ",".join(usable[half:])) if half else ("", "")


def in_flight(server: Server) -> float:
    return server.total("lossd_inflight_requests") + server.total("lossd_inflight_bytes")
