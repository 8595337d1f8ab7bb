"""Three servers and a proxy before them."""

from __future__ import annotations

import contextlib
import http.client
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc

from soak import message
from soak.proxies.proxy import Backend, Kind, running_proxy
from soak.server import PATIENCE, Server, Setting, free_port, running, wait_until

# As docs/proxies.md says, but for the last one: lossd itself ends no stream here, so that a stream
# can be idle for longer than a proxy allows.
FLAGS = ("--drain_delay=5s", "--stream_idle_timeout=0")


@dataclass(frozen=True)
class Fleet:
    """Servers that run; a metrics address stays the same over a restart."""

    setting: Setting
    servers: Sequence[Server]

    def backends(self) -> list[Backend]:
        return [Backend(server.address, server.metrics) for server in self.servers]


@dataclass(frozen=True)
class Front:
    """A proxy that serves before a fleet."""

    name: str  # as ./dev proxies takes it
    version: str  # such as "Envoy 1.40.0"
    address: str


@contextlib.contextmanager
def running_fleet(setting: Setting, name: str, *flags: str) -> Iterator[Fleet]:
    # An older server may lack the flag.
    trust = ["--trust_flow_header"] if setting.knows("--trust_flow_header") else []
    servers = [
        Server(
            setting,
            f"--metrics_listen=127.0.0.1:{free_port()}",
            *FLAGS,
            *trust,
            *flags,
            name=f"{name}-{letter}",
        )
        for letter in "abc"
    ]
    with running(*servers):
        yield Fleet(setting, servers)


@contextlib.contextmanager
def in_front(fleet: Fleet, name: str, kind: Kind, folders: Sequence[Path]) -> Iterator[Front]:
    """Runs the proxy and waits until it sends calls to a server; NoProxy without the program."""
    program = kind.found(folders)
    folder = fleet.setting.folder / name
    folder.mkdir(exist_ok=True)
    with running_proxy(kind, program, fleet.backends(), folder) as address:
        front = Front(name, kind.version_of(program), address)
        wait_until(lambda: answers(address))
        yield front


def total(server: Server, metric: str) -> float:
    """Returns the sum of a metric's samples, however long a busy machine takes for the page."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return server.total(metric)
        except (OSError, http.client.HTTPException):
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def answers(address: str) -> bool:
    """Returns whether a server answers through the proxy; a proxy may first check their health."""
    with grpc.insecure_channel(address) as channel, contextlib.suppress(grpc.RpcError):
        channel.unary_unary(message.COMPUTE)(message.small_request(), timeout=5)
        return True
    return False
