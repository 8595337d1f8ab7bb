"""Sends the signals that end most programs but not a server, under load."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from functools import partial

from soak.counterparts import LIBRARIES, Clients
from soak.row import Row, judged
from soak.samples import write_one
from soak.server import Server, Setting, counts, running, wait_until

TIMES = 20
LANGUAGE = "python"
HARMLESS = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def rows(setting: Setting) -> Iterator[Row]:
    clients = Clients(setting.folder)
    for number in HARMLESS:
        yield sent_under_load(setting, clients, number)
    yield quits(setting, setting.times(TIMES))


def sent_under_load(setting: Setting, clients: Clients, number: signal.Signals) -> Row:
    """Sends the signal and waits until another call has been answered, again and again."""
    server = Server(setting, name=number.name)
    samples = setting.folder / "samples"
    sent = 0
    with contextlib.ExitStack() as stack:
        stack.enter_context(running(server))
        write_one(samples, server.address)
        client = stack.enter_context(clients.load(LANGUAGE, [server.address], samples))
        while sent < setting.times(TIMES) and server.alive():
            answered = server.total("lossd_requests_total")
            server.send(number)
            sent += 1
            wait_until(partial(went_on, server, answered))
        alive = server.alive()
        report = client.finish()
    return judged(
        "signals",
        f"{number.name} under load",
        f"{LIBRARIES[LANGUAGE]} {report.version}",
        times=sent,
        lost=report.lost,
        seen=f"{report.calls:,} calls; lost: {counts(report.codes) or 'none'}",
        broken="" if alive else "the server has ended",
    )


def went_on(server: Server, answered: float) -> bool:
    """Returns whether more calls have been answered, or none will be."""
    try:
        return server.total("lossd_requests_total") > answered
    except OSError:
        return not server.alive()


def quits(setting: Setting, times: int) -> Row:
    server = Server(setting, name="SIGQUIT")
    codes = []
    for _ in range(times):
        server.start()
        codes.append(server.end(signal.SIGQUIT))
    wrong = sum(code != 0 for code in codes)
    return judged(
        "signals",
        "SIGQUIT, which drains",
        "exit codes",
        times=times,
        lost=wrong,
        seen=f"exit code {codes[-1]}",
    )
