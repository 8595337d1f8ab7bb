"""Measures how memory grows with requests, and proves by a leaking server that it would be seen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from soak.counterparts import NoCounterpart, run
from soak.lossbench import load
from soak.row import Row, judged, not_run
from soak.server import Server, Setting, running

SOURCE = Path(__file__).parent.parent / "leak" / "leak.c"
WARM_UP = 200_000  # requests, after which pools and arenas have their size
REQUESTS = 4_000_000
MILLION = 1_000_000
MOST = 1 << 20  # bytes of growth for a million requests
MIB = 1 << 20


def rows(setting: Setting) -> Iterator[Row]:
    requests = setting.times(REQUESTS)
    grown, answered = growth(Server(setting, name="server"), requests)
    yield judged(
        "leak",
        f"requests of 64 elements, after {WARM_UP:,}",
        "lossbench",
        times=answered,
        lost=requests - answered,
        seen=f"{grown / MIB:+.2f} MiB for a million requests",
        broken="" if grown < MOST else "more than 1 MiB for a million requests",
    )
    done = "the same with a server that loses 256 bytes at each write to a socket"
    try:
        library = leaking_library(setting.folder)
    except NoCounterpart as reason:
        yield not_run("leak", done, "lossbench", str(reason))
        return
    leaking = Server(setting, shell=f"export LD_PRELOAD={library}", name="leaking")
    grown, answered = growth(leaking, requests)
    yield judged(
        "leak",
        done,
        "lossbench",
        times=answered,
        lost=requests - answered,
        seen=f"{grown / MIB:+.2f} MiB for a million requests, so the row above would have failed",
        broken="" if grown >= MOST else "the leak was not seen",
    )


def growth(server: Server, requests: int) -> tuple[float, int]:
    """Returns the bytes by which a million requests let it grow, and how many were answered."""
    with running(server):
        answered_of(server, WARM_UP)
        before = server.resident_bytes()
        answered = answered_of(server, requests)
        return (server.resident_bytes() - before) / requests * MILLION, answered


def answered_of(server: Server, requests: int) -> int:
    flags = ("--elements=64", "--concurrency=64", "--warmup=0s", "--duration=1h")
    return int(load(server, *flags, f"--requests={requests}")["requests"])


def leaking_library(folder: Path) -> Path:
    library = (folder / "leak.so").resolve()
    run(["cc", "-shared", "-fPIC", "-o", str(library), str(SOURCE)], folder)
    return library
