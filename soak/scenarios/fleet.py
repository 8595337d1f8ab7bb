"""Ends one of three servers each second while the project's clients call all of them."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Iterator

import lossd

from soak.loads import Load, all_loads
from soak.row import Row, judged
from soak.server import Server, Setting, counts, running

SERVERS = 3
ENDS = 60  # one each second


def rows(setting: Setting) -> Iterator[Row]:
    for number in (signal.SIGKILL, signal.SIGTERM):
        yield from ended_each_second(setting, number, setting.times(ENDS))


def ended_each_second(setting: Setting, number: signal.Signals, times: int) -> Iterator[Row]:
    servers = [Server(setting, name=f"{number.name}-{side}") for side in range(SERVERS)]
    codes: Counter[int] = Counter()
    with (
        running(*servers),
        all_loads([server.address for server in servers]) as loads,
    ):
        start = time.monotonic()
        for turn in range(times):
            time.sleep(max(start + turn - time.monotonic(), 0))
            server = servers[turn % SERVERS]
            codes[server.end(number)] += 1
            server.start()
        for load in loads:
            load.wait_for_more(1)
            load.stop()
        seconds = time.monotonic() - start
    wrong_end = set(codes) - {0 if number == signal.SIGTERM else -number}
    for load in loads:
        yield row_of(load, number, times, seconds, f"exit codes {codes}" if wrong_end else "")


def row_of(load: Load, number: signal.Signals, times: int, seconds: float, broken: str) -> Row:
    lost = {name: count for name, count in load.outcomes.items() if name != "answered"}
    return judged(
        "fleet",
        f"{number.name} to one of three servers each second",
        f"lossd {lossd.__version__}, {load.name}",
        times=times,
        lost=sum(lost.values()),
        seen=f"{load.outcomes['answered']:,} answers, equal bit for bit; {seconds:.0f} s",
        broken="; ".join(filter(None, [counts(lost), broken])),
    )
