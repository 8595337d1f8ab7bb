"""Streams and sessions that outlast every timeout, and servers that end amid them."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator

import grpc
import lossd
import numpy as np

from soak import message
from soak.proxies.fleet import Fleet, Front, total
from soak.row import Row, judged
from soak.scenarios.drain import halves
from soak.server import PATIENCE, counts, wait_until

# The longest default of the three proxies is Envoy's: a stream without a byte for 5 minutes.
PAUSE, QUICK_PAUSE = 310.0, 20.0  # seconds
STREAMS = 9  # so that each of three servers has three
TIMES = 3


def rows(fleet: Fleet, front: Front) -> Iterator[Row]:
    yield long(fleet, front)
    for number in (signal.SIGTERM, signal.SIGKILL):
        yield ended_amid_streams(fleet, front, number)
    for number in (signal.SIGTERM, signal.SIGKILL):
        yield ended_amid_sessions(fleet, front, number)


def long(fleet: Fleet, front: Front) -> Row:
    """Opens streams and sessions that stand still for a while and then go on."""
    pause = QUICK_PAUSE if fleet.setting.quick else PAUSE
    lost: Counter[str] = Counter()
    go_on = threading.Event()
    with lossd.Client(front.address) as client, grpc.insecure_channel(front.address) as channel:
        sessions = [client.session() for _ in range(STREAMS)]
        streams = Streams(channel, go_on)
        lost.update(ask(sessions))
        wait_until(lambda: under_way(fleet) == STREAMS)
        time.sleep(pause)
        go_on.set()
        lost.update(ask(sessions))
        lost.update(streams.ends())
        for session in sessions:
            session.close()
    return judged(
        front.name,
        f"{STREAMS} streams and {STREAMS} sessions that stand still for {pause:.0f} s",
        f"{front.version}, grpcio {grpc.__version__}",
        times=2 * STREAMS,
        lost=lost.total(),
        broken=counts(lost),
    )


class Streams:
    """StreamLoss calls that have sent one half, and send the other when `go_on` is set."""

    def __init__(self, channel: grpc.Channel, go_on: threading.Event) -> None:
        call = channel.stream_stream(message.STREAM)
        self._streams = [call(halves(go_on), timeout=PAUSE + PATIENCE) for _ in range(STREAMS)]
        self._codes: Counter[str] = Counter()
        self.texts: dict[str, str] = {}  # one for each code but OK; complete after ends()
        self._readers = [threading.Thread(target=self._read, args=(one,)) for one in self._streams]
        self._lock = threading.Lock()  # guards the codes and texts
        for reader in self._readers:
            reader.start()

    def _read(self, stream: grpc.Call) -> None:
        with contextlib.suppress(grpc.RpcError):
            for _ in stream:
                pass
        with self._lock:
            self._codes[stream.code().name] += 1
            self.texts[stream.code().name] = str(stream.details())

    def ends(self) -> Counter[str]:
        """Waits for all and returns with which codes but OK they ended."""
        for reader in self._readers:
            reader.join()
        self._codes.pop("OK", None)
        return self._codes


def ended_amid_streams(fleet: Fleet, front: Front, number: signal.Signals) -> Row:
    """Ends a server while streams are open on all three.

    A drain answers its streams, so none is lost. A server that is killed cannot: a stream of its
    own that the proxy has not all of ends as UNAVAILABLE, and the streams of others go on.
    """
    lost = 0
    codes: Counter[str] = Counter()
    texts: dict[str, str] = {}
    times = fleet.setting.times(TIMES)
    for turn in range(times):
        server = fleet.servers[turn % len(fleet.servers)]
        go_on = threading.Event()
        with grpc.insecure_channel(front.address, OWN) as channel:
            streams = Streams(channel, go_on)
            wait_until(lambda: under_way(fleet) == STREAMS)
            there = int(total(server, "lossd_inflight_requests"))
            server.send(number)
            if number == signal.SIGKILL:
                server.wait()
            go_on.set()
            ends = streams.ends()
        if number == signal.SIGTERM:
            server.wait()
        server.start()
        codes.update(ends)
        texts.update(streams.texts)
        may_end = there if number == signal.SIGKILL else 0
        lost += max(ends.total() - may_end, 0) + ends.total() - ends["UNAVAILABLE"]
        wait_until_back(fleet, front)
    return judged(
        front.name,
        f"{number.name} to one of three servers amid {STREAMS} streams that have sent one half",
        f"{front.version}, grpcio {grpc.__version__}",
        times=times,
        lost=lost,
        seen=f"of {times * STREAMS} streams ended otherwise than OK: {counts(codes) or 'none'}",
        broken="; ".join(f"{code}: {texts[code][:80]}" for code in codes) if lost else "",
    )


def ended_amid_sessions(fleet: Fleet, front: Front, number: signal.Signals) -> Row:
    """Ends a server between two requests of sessions.

    A session's next request is answered, or it fails and the one after it is answered: the session
    then has another stream, on another server. With which code it fails is the proxy's choice.
    """
    reported: Counter[str] = Counter()
    lost: Counter[str] = Counter()
    times = fleet.setting.times(TIMES)
    for turn in range(times):
        server = fleet.servers[turn % len(fleet.servers)]
        with lossd.Client(front.address) as client:
            sessions = [client.session() for _ in range(STREAMS)]
            lost.update(ask(sessions))
            server.end(number)
            reported.update(ask(sessions))
            lost["wrong reply"] += reported.pop("wrong reply", 0)
            lost.update(ask(sessions))
            for session in sessions:
                session.close()
        server.start()
        wait_until_back(fleet, front)
    return judged(
        front.name,
        f"{number.name} to one of three servers between the requests of {STREAMS} sessions",
        f"{front.version}, lossd {lossd.__version__} (Python)",
        times=times,
        lost=lost.total(),
        seen=f"of {times * STREAMS} requests after it, sent again by the caller: "
        f"{counts(reported) if reported.total() else 'none'}",
        broken=counts(+lost),
    )


OWN = [("grpc.use_local_subchannel_pool", 1)]
ASKED = (np.array(message.LOGITS), np.array(message.TARGETS))


def ask(sessions: list[lossd.Session]) -> Counter[str]:
    """Asks once in each session; returns with which codes requests failed."""
    failed: Counter[str] = Counter()
    for future in [session.submit(*ASKED, timeout=PATIENCE) for session in sessions]:
        try:
            if abs(future.result().loss - message.small_loss()) > 1e-6:
                failed["wrong reply"] += 1
        except lossd.LossdError as error:
            failed[error.code.name] += 1
    return failed


def under_way(fleet: Fleet) -> int:
    return int(sum(total(server, "lossd_inflight_requests") for server in fleet.servers))


def wait_until_back(fleet: Fleet, front: Front) -> None:
    """Waits until calls come to each server again, so that the next turn meets all three."""
    with grpc.insecure_channel(front.address, OWN) as channel:
        call = channel.unary_unary(message.COMPUTE)

        def all_back() -> bool:
            with contextlib.suppress(grpc.RpcError):
                call(message.small_request(), timeout=5)
            return all(total(server, "lossd_requests_total") > 0 for server in fleet.servers)

        wait_until(all_back)
