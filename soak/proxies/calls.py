"""Servers end, or stand still, while single calls go to them through a proxy."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

from soak.proxies.fleet import Fleet, Front, total
from soak.proxies.load import PLAIN, RETRYING, Load, asked_directly, random_request
from soak.row import Row, judged
from soak.server import Server, counts, wait_until

# float32 elements of a request, each 8 bytes, with a name and the number of clients of each kind.
SIZES = ((64, "64 elements", 3), (1_500_000, "12 MB", 2), (5_000_000, "40 MB", 1))
ENDS = 6  # of servers, one after the other
STOPPED = 20.0  # seconds; Envoy's default would end a call after 15
LONG = (
    300.0  # seconds within which a call comes to a server; large ones take long on a busy machine
)
BUSY = 10.0  # seconds in which a call should come to the server that is ended next


def rows(fleet: Fleet, front: Front) -> Iterator[Row]:
    for elements, name, clients in SIZES:
        for number in (signal.SIGTERM, signal.SIGKILL):
            yield ended(fleet, front, elements, name, clients, number)
    yield stopped(fleet, front)


def ended(
    fleet: Fleet, front: Front, elements: int, name: str, clients: int, number: signal.Signals
) -> Row:
    request = random_request(elements)
    expected = asked_directly(fleet.servers[0].address, request)
    times = fleet.setting.times(ENDS)
    with (
        Load(front.address, request, expected, clients=clients, options=PLAIN, again=False) as bare,
        Load(
            front.address, request, expected, clients=clients, options=RETRYING, again=True
        ) as load,
    ):
        for turn in range(times):
            server = fleet.servers[turn % len(fleet.servers)]
            wait_for_calls(server)
            # So the signal meets a call. A proxy may be slow to come back to a server.
            wait_until(lambda: total(server, "lossd_inflight_requests") > 0, BUSY)  # noqa: B023
            server.end(number)
            server.start()
        for server in fleet.servers:
            wait_for_calls(server)
    return judged(
        front.name,
        f"{number.name} to one of three servers under load, {name}",
        front.version,
        times=times,
        lost=load.lost,
        seen=seen(load, bare),
        broken=told(load),
    )


def stopped(fleet: Fleet, front: Front) -> Row:
    """Has a server stand still for longer than Envoy waits by default, and go on."""
    request = random_request(SIZES[0][0])
    expected = asked_directly(fleet.servers[0].address, request)
    server = fleet.servers[0]
    with (
        Load(front.address, request, expected, clients=3, options=PLAIN, again=False) as bare,
        Load(front.address, request, expected, clients=3, options=RETRYING, again=True) as load,
    ):
        time.sleep(1)
        server.send(signal.SIGSTOP)
        time.sleep(STOPPED)
        server.send(signal.SIGCONT)
        wait_for_calls(server)
    return judged(
        front.name,
        f"one of three servers stands still for {STOPPED:.0f} s under load (SIGSTOP)",
        front.version,
        times=1,
        lost=load.lost,
        seen=seen(load, bare),
        broken=told(load),
    )


def wait_for_calls(server: Server) -> None:
    """Waits until the server has answered a call since its start."""
    if wait_until(lambda: total(server, "lossd_requests_total") > 0, LONG) == float("inf"):
        raise RuntimeError(f"no call came to {server.address} in {LONG:.0f} s")


def seen(load: Load, bare: Load) -> str:
    """Returns what the clients with retries saw, and those without."""
    failed = f" ({counts(bare.codes)})" if bare.codes else ""
    return (
        f"{load.calls:,} calls; sent again by the caller: {counts(load.again) or 'none'}; without "
        f"any retries in the client {bare.lost} of {bare.calls:,} failed{failed}"
    )


def told(load: Load) -> str:
    """Returns how calls were lost, with a text of each code."""
    texts = [f"{code}: {text.splitlines()[0][:60]}" for code, text in load.texts.items() if text]
    if load.wrong:
        texts.append(f"{load.wrong} wrong replies")
    return "; ".join(texts)
