"""Takes all descriptors of a server, lets go of them, and asks how soon it answers again."""

from __future__ import annotations

import contextlib
import resource
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import grpc

from soak import message
from soak.row import Row, judged
from soak.server import PATIENCE, Server, Setting, running, slowest, wait_until

LIMIT = 128  # descriptors of the server
TIMES = 20
WITHIN = 1.0  # seconds
SETTLED = 0.5  # seconds in which the server has taken no more descriptors
DONE = f"all {LIMIT} descriptors taken by idle clients, then freed"


def rows(setting: Setting) -> Iterator[Row]:
    # The driver itself holds more sockets than the server may.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    path = setting.folder / "lossd.sock"
    for kind in ("TCP", "Unix"):
        path.unlink(missing_ok=True)
        server = Server(
            setting, f"--unix_socket={path.resolve()}", shell=f"ulimit -n {LIMIT}", name=kind
        )
        with running(server):
            yield exhausted(server, path.resolve(), kind, setting.times(TIMES))


def exhausted(server: Server, path: Path, kind: str, times: int) -> Row:
    """Takes the descriptors over one listener and then asks over both."""
    targets = (server.address, f"unix:{path}")
    recoveries: list[float] = []
    kept = 0
    with channel(server.address) as old:
        answered(old, PATIENCE)
        for _ in range(times):
            with taken(server, path, kind):
                kept += answered(old, PATIENCE) == float("inf")
            for target in targets:
                with channel(target) as fresh:
                    waited = answered(fresh, 5 * WITHIN)
                recoveries.append(waited)
            # A listener that has gone deaf stays so, and the rest would only take long.
            if recoveries[-1] == recoveries[-2] == float("inf"):
                break
    late = sum(waited > WITHIN for waited in recoveries)
    heard = [waited for waited in recoveries if waited != float("inf")]
    return judged(
        "descriptors",
        f"{DONE}, over {kind}",
        f"sockets, grpcio {grpc.__version__}",
        times=len(recoveries) // 2,
        lost=late + kept,
        seen=f"{len(recoveries)} new connections, {slowest(heard)}; "
        f"{kept} calls failed on the connection from before",
        broken="" if server.alive() else "the server has ended",
    )


@contextlib.contextmanager
def taken(server: Server, path: Path, kind: str) -> Iterator[None]:
    """Holds twice as many sockets as the server has descriptors."""
    held: list[socket.socket] = []
    host, port = server.address.rsplit(":", 1)
    try:
        for _ in range(2 * LIMIT):
            family = socket.AF_INET if kind == "TCP" else socket.AF_UNIX
            client = socket.socket(family, socket.SOCK_STREAM)
            held.append(client)
            client.setblocking(False)
            # A full backlog refuses a Unix socket at once; the descriptors are gone by then.
            with contextlib.suppress(BlockingIOError):
                client.connect((host, int(port)) if kind == "TCP" else str(path))
        wait_for_rest(server)
        yield
    finally:
        for client in held:
            client.close()


def wait_for_rest(server: Server) -> None:
    """Waits until the server's number of descriptors has stayed equal for a while."""
    last, since = -1, time.monotonic()

    def rests() -> bool:
        nonlocal last, since
        now = server.descriptors()
        if now != last:
            last, since = now, time.monotonic()
        return time.monotonic() - since > SETTLED

    wait_until(rests)


def channel(target: str) -> grpc.Channel:
    # Without a pool of its own, a channel would share the connection of the one before it.
    options = [
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 100),
    ]
    return grpc.insecure_channel(target, options)


def answered(channel: grpc.Channel, seconds: float) -> float:
    """Returns after how long a call was answered, or infinity."""
    start = time.monotonic()
    call = channel.unary_unary(message.COMPUTE)
    try:
        call(message.small_request(), timeout=seconds, wait_for_ready=True)
    except grpc.RpcError:
        return float("inf")
    return time.monotonic() - start
