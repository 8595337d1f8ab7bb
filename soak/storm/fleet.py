"""The servers of a storm, each with a place where something can be broken."""

from __future__ import annotations

import contextlib
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import lossd
import numpy as np

from soak.certificates import Authority, replace
from soak.loads import SMALL, Load, calls, gradients
from soak.network import Network, NoNetwork, network
from soak.server import Server, Setting, running

DESCRIPTORS = 256  # of the steady server
# Debian's package faketime has it. It is read from a file, so that the clock can be stepped.
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")


class Fleet:
    """Five servers: two that are ended, a steady one, a far one, and one that speaks TLS.

    The disk to which the steady one logs is full from the start. `far` is None where no network
    can be made. Only the thread that made it may use it, but for in_flight().
    """

    def __init__(self, setting: Setting, way: Network | None) -> None:
        self.way = way
        self.clock = (setting.folder / "clock").resolve() if FAKETIME.exists() else None
        self.authority = Authority()
        self._certificate = (setting.folder / "tls.crt").resolve()
        self._key = (setting.folder / "tls.key").resolve()
        self.new_certificate()
        self.mortal = [
            Server(setting, shell=self._stepped(), name=f"mortal-{side}") for side in "ab"
        ]
        self.steady = Server(
            setting,
            "--log_level=debug",
            shell=f"exec 2> /dev/full && ulimit -n {DESCRIPTORS}",
            name="steady",
        )
        self.far = Server(setting, network=way, name="far") if way else None
        self.sealed = Server(
            setting, f"--tls_cert={self._certificate}", f"--tls_key={self._key}", name="sealed"
        )
        self.codes: Counter[int] = Counter()
        self._sizes: list[tuple[float, float]] = []

    @property
    def plain(self) -> list[Server]:
        return [*self.mortal, self.steady, *([self.far] if self.far else [])]

    @property
    def addresses(self) -> list[str]:
        return [server.address for server in self.plain]

    def end(self, server: Server, number: signal.Signals) -> None:
        """Ends a server and starts it again."""
        self.codes[server.end(number)] += 1
        server.start()

    def new_certificate(self) -> None:
        pair = self.authority.pair()
        replace(self._certificate, pair.certificate)
        replace(self._key, pair.key)

    def step_clock(self, seconds: int) -> None:
        """Sets the clock of the servers that are ended so far from the true one."""
        assert self.clock is not None
        replace(self.clock, f"{seconds:+d}\n".encode())

    def note_size(self) -> None:
        """Remembers the steady server's requests and memory for growth()."""
        requests = self.steady.total("lossd_requests_total")
        self._sizes.append((requests, float(self.steady.resident_bytes())))

    def growth(self) -> tuple[float, int]:
        """Returns the bytes by which a request has let the steady server grow, and its requests.

        It is the slope of the best line through the latter half of the notes, because caches and
        arenas grow to their sizes in the first.
        """
        requests, sizes = np.array(self._sizes[len(self._sizes) // 2 :]).T
        slope = np.polyfit(requests - requests[0], sizes, 1)[0] if len(requests) > 2 else 0.0
        return float(slope), int(requests[-1])

    def in_flight(self) -> float:
        return sum(
            server.total(f"lossd_inflight_{what}")
            for server in [*self.plain, self.sealed]
            for what in ("requests", "bytes")
        )

    @contextlib.contextmanager
    def sealed_load(self) -> Iterator[Load]:
        """Calls the server with TLS, over a new connection every few calls."""
        expected = gradients(self.addresses[0], SMALL)
        load = Load("calls over TLS", self._call_sealed, expected)
        try:
            yield load
        finally:
            load.stop()

    def _call_sealed(self, load: Load) -> None:
        credentials = grpc.ssl_channel_credentials(self.authority.certificate)
        options = {"grpc.use_local_subchannel_pool": 1}
        with lossd.Client(
            self.sealed.address, credentials=credentials, channel_options=options
        ) as client:
            ask: Callable[[Load], None] = calls(client)
            ask(load)

    def _stepped(self) -> str:
        if self.clock is None:
            return ":"
        self.step_clock(0)
        return (
            f"export LD_PRELOAD={FAKETIME} FAKETIME_TIMESTAMP_FILE={self.clock} "
            "FAKETIME_DONT_FAKE_MONOTONIC=1 FAKETIME_CACHE_DURATION=1"
        )


@contextlib.contextmanager
def running_fleet(setting: Setting) -> Iterator[Fleet]:
    """Starts the servers and ends those that still run."""
    with contextlib.ExitStack() as stack:
        way: Network | None = None
        if shutil.which("ip"):
            with contextlib.suppress(NoNetwork):
                way = stack.enter_context(network())
        fleet = Fleet(setting, way)
        stack.enter_context(running(*fleet.plain, fleet.sealed))
        yield fleet
