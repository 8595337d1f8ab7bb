"""Sends random requests for an hour while everything around the servers fails in turn."""

from __future__ import annotations

import contextlib
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator

from soak.counterparts import LIBRARIES, Client, Clients, NoCounterpart, Report
from soak.loads import Load, all_loads
from soak.row import Row, judged, not_run
from soak.samples import write_random
from soak.server import Setting, counts, wait_until
from soak.storm.faults import Faults
from soak.storm.fleet import Fleet, running_fleet

SECONDS = 3600
SAMPLES = 400  # requests of random sizes, kinds and types
LANGUAGES = ("go", "node", "python")
PAUSE = 1.0  # seconds between two faults
MILLION = 1_000_000
MIB = 1 << 20


def rows(setting: Setting) -> Iterator[Row]:
    with contextlib.ExitStack() as stack:
        fleet = stack.enter_context(running_fleet(setting))
        samples = setting.folder / "samples"
        write_random(samples, fleet.addresses[0], SAMPLES)
        clients, missing = started(setting, fleet, stack)
        yield from missing
        loads = stack.enter_context(all_loads(fleet.addresses))
        loads.append(stack.enter_context(fleet.sealed_load()))
        faults = Faults(fleet, list(clients.values()))
        seconds = setting.times(SECONDS)
        weather(faults, seconds)
        for load in loads:
            load.wait_for_more(1)
            load.stop()
        reports = {language: client.finish() for language, client in clients.items()}
        done = f"{sum(faults.done.values()):,} faults in {seconds} s: {counts(faults.done)}"
        for language, report in reports.items():
            yield row_of_report(language, report, done)
        for load in loads:
            yield row_of_load(load, done)
        yield at_rest(fleet, done)


def started(
    setting: Setting, fleet: Fleet, stack: contextlib.ExitStack
) -> tuple[dict[str, Client], list[Row]]:
    """Starts a client in each language; returns them, and a row for each that cannot be built."""
    builder = Clients(setting.folder)
    clients: dict[str, Client] = {}
    missing: list[Row] = []
    for language in LANGUAGES:
        try:
            client = builder.load(language, fleet.addresses, setting.folder / "samples")
        except NoCounterpart as reason:
            missing.append(not_run("storm", "faults", LIBRARIES[language], str(reason)))
        else:
            clients[language] = stack.enter_context(client)
    return clients, missing


def weather(faults: Faults, seconds: float) -> None:
    """Lets every fault happen once in an order of chance, and again, until the time is over."""
    order = random.Random(10)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for fault in order.sample(faults.all, len(faults.all)):
            fault()
            time.sleep(PAUSE)


def row_of_report(language: str, report: Report, done: str) -> Row:
    failed = sum(report.codes.values())
    return judged(
        "storm",
        done,
        f"{LIBRARIES[language]} {report.version}",
        times=report.sent,
        lost=report.wrong + report.sent - report.calls,
        seen=f"{report.sent:,} sent = {report.calls - failed:,} answered, equal bit for bit, + "
        f"{failed:,} reported as failed ({counts(report.codes) or 'none'})",
    )


def row_of_load(load: Load, done: str) -> Row:
    outcomes: Counter[str] = Counter(load.outcomes)
    answered, wrong = outcomes.pop("answered", 0), outcomes.pop("other bits", 0)
    return judged(
        "storm",
        done,
        f"lossd, {load.name}",
        times=answered + wrong + outcomes.total(),
        lost=wrong,
        seen=f"{answered:,} answered, equal bit for bit, {outcomes.total():,} reported as failed "
        f"({counts(outcomes) or 'none'})",
    )


def at_rest(fleet: Fleet, done: str) -> Row:
    """Says what the servers still hold when all clients have ended."""
    quiet = wait_until(lambda: fleet.in_flight() == 0)
    growth, requests = fleet.growth()
    codes = dict(fleet.codes)
    right = {0, -signal.SIGKILL}
    faults = [f"{code} as exit code" for code in codes if code not in right]
    if quiet == float("inf"):
        faults.append(f"{fleet.in_flight():.0f} requests and bytes are still in flight")
    if requests >= MILLION and growth * MILLION > MIB:
        faults.append("more than 1 MiB for a million requests")
    return judged(
        "storm",
        done,
        "all servers",
        times=sum(codes.values()),
        lost=0,
        seen=f"nothing in flight after {quiet:.1f} s; the server that was never ended grew by "
        f"{growth * MILLION / MIB:+.2f} MiB for each million of its {requests:,} requests",
        broken="; ".join(faults),
    )
