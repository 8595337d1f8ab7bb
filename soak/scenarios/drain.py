"""Ends one of two servers again and again while clients with a retry policy call both."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections import Counter
from collections.abc import Iterator

import grpc

from soak import message
from soak.counterparts import LIBRARIES, Clients, NoCounterpart, Report
from soak.row import Row, judged, not_run
from soak.samples import write_one
from soak.server import PATIENCE, Server, Setting, counts, running, wait_until

TERMS, KILLS = 50, 20  # for each client; four clients make 200 SIGTERMs
STREAM_TERMS, STREAMS = 20, 8
ELEMENTS = 200_000  # of a stream, half of them before the SIGTERM


def rows(setting: Setting) -> Iterator[Row]:
    clients = Clients(setting.folder)
    for language in LIBRARIES:
        for number, full in ((signal.SIGTERM, TERMS), (signal.SIGKILL, KILLS)):
            try:
                yield ended_under_load(setting, clients, language, number, setting.times(full))
            except NoCounterpart as reason:
                yield not_run("drain", done(number), LIBRARIES[language], str(reason))
    yield ended_amid_streams(setting, setting.times(STREAM_TERMS))


def done(number: signal.Signals) -> str:
    return f"{number.name} to one of two servers under load"


def ended_under_load(
    setting: Setting, clients: Clients, language: str, number: signal.Signals, times: int
) -> Row:
    servers = [Server(setting, name=f"{language}-{number.name}-{side}") for side in "ab"]
    codes: list[int] = []
    with running(*servers):
        samples = setting.folder / "samples"
        write_one(samples, servers[0].address)
        addresses = [server.address for server in servers]
        with clients.load(language, addresses, samples) as client:
            for server in servers:
                server.wait_for_calls()
            for turn in range(times):
                server = servers[turn % 2]
                codes.append(server.end(number))
                server.start()
                # The next server is not ended before the client is back at this one.
                server.wait_for_calls()
            report = client.finish()
    return judged(
        "drain",
        done(number),
        f"{LIBRARIES[language]} {report.version}",
        times=times,
        lost=report.lost,
        seen=f"{report.calls:,} calls",
        broken=broken(report, codes, number),
    )


def ended_amid_streams(setting: Setting, times: int) -> Row:
    """Ends a server while streams wait for their second half, which is sent only then."""
    lost: Counter[str] = Counter()
    codes: Counter[int] = Counter()
    server = Server(setting, name="streams")
    for _ in range(times):
        server.start()
        second_half = threading.Event()
        with grpc.insecure_channel(
            server.address, [("grpc.use_local_subchannel_pool", 1)]
        ) as channel:
            call = channel.stream_stream(message.STREAM)
            streams = [call(halves(second_half), timeout=PATIENCE) for _ in range(STREAMS)]
            wait_until(lambda: server.total("lossd_inflight_requests") == STREAMS)
            server.send(signal.SIGTERM)
            second_half.set()
            lost.update(code.name for code in map(end_of, streams) if code != grpc.StatusCode.OK)
        codes[server.wait()] += 1
    return judged(
        "drain",
        f"SIGTERM amid {STREAMS} streams that have sent one half",
        f"grpcio {grpc.__version__}",
        times=times,
        lost=lost.total(),
        seen=f"{times * STREAMS} streams",
        broken=counts(lost) if lost or set(codes) == {0} else f"exit codes {dict(codes)}",
    )


def halves(second: threading.Event) -> Iterator[bytes]:
    yield message.stream_header(ELEMENTS)
    yield message.stream_chunk(ELEMENTS // 2)
    second.wait()
    yield message.stream_chunk(ELEMENTS // 2)


def end_of(stream: grpc.Call) -> grpc.StatusCode:
    """Reads all replies and returns the code with which the stream ended."""
    with contextlib.suppress(grpc.RpcError):
        for _ in stream:
            pass
    return stream.code()


def broken(report: Report, codes: list[int], number: signal.Signals) -> str:
    """Returns what was lost and which exit codes were not as they should be."""
    wrong_ends = sum(code != (0 if number == signal.SIGTERM else -number) for code in codes)
    found = dict(report.codes)
    found["wrong replies"] = report.wrong
    found["wrong exit codes"] = wrong_ends
    texts = [text.splitlines()[0][:60] for text in report.texts.values()]
    return "; ".join([*filter(None, [counts({k: v for k, v in found.items() if v})]), *texts])
