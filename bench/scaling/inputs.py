"""What the model knows of lossd: the measured service times, and what a host and a load are."""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

MESSAGE_BYTES = 1 << 20  # a message of a session is closed at this size
TABLE = Path(__file__).with_name("service_times.json")


@dataclass(frozen=True)
class Transport:
    """Processor seconds of one request apart from its tensors, for a unary call or an entry."""

    server: float  # while other requests keep the thread awake
    client: float
    server_wake: float  # in addition, if the thread slept
    client_wake: float


@dataclass(frozen=True)
class ServiceTimes:
    """Measured on one CPU by measure.py."""

    cpu: str
    date: str
    unary: Transport
    session: Transport | None  # None where lossbench has no sessions
    server_seconds_per_byte: float  # of request and reply alike
    client_seconds_per_byte: float
    elements_per_second: float  # of the kernel, on one core
    connection_bytes_per_second: float  # both ways together, of an echo on one connection
    wake_seconds: float  # from an event until the sleeping thread runs
    lock_seconds: float  # a request holds the admission's lock and the queue's for so long

    def transport(self, kind: str) -> Transport:
        chosen = self.session if kind == "session" else self.unary
        if chosen is None:
            raise ValueError(f"the table has no times of a {kind}")
        return chosen

    def save(self, path: Path = TABLE) -> None:
        path.write_text(json.dumps(dataclasses.asdict(self), indent=2) + "\n", encoding="utf-8")


def best_of(rounds: Sequence[ServiceTimes]) -> ServiceTimes:
    """Returns the shortest of each time and the largest of each rate, because what else runs on
    the machine only adds. What waking takes is the median: it has two values, one with both
    threads on one core and one with a core each."""

    def best(kind: str) -> Transport | None:
        seen = [one for one in (getattr(times, kind) for times in rounds) if one is not None]
        if not seen:
            return None
        return Transport(
            server=min(one.server for one in seen),
            client=min(one.client for one in seen),
            server_wake=statistics.median(one.server_wake for one in seen),
            client_wake=statistics.median(one.client_wake for one in seen),
        )

    return ServiceTimes(
        cpu=rounds[0].cpu,
        date=rounds[0].date,
        unary=best("unary") or rounds[0].unary,
        session=best("session"),
        server_seconds_per_byte=min(one.server_seconds_per_byte for one in rounds),
        client_seconds_per_byte=min(one.client_seconds_per_byte for one in rounds),
        elements_per_second=max(one.elements_per_second for one in rounds),
        connection_bytes_per_second=max(one.connection_bytes_per_second for one in rounds),
        wake_seconds=statistics.median(one.wake_seconds for one in rounds),
        lock_seconds=min(one.lock_seconds for one in rounds),
    )


def load_times(path: Path = TABLE) -> ServiceTimes:
    fields = json.loads(path.read_text(encoding="utf-8"))
    for kind in ("unary", "session"):
        fields[kind] = Transport(**fields[kind]) if fields[kind] else None
    return ServiceTimes(**fields)


@dataclass(frozen=True)
class Host:
    """A server's machine and its flags."""

    cores: int
    rpc_threads: int
    workers: int  # --cpu_threads
    nic: float = float("inf")  # bytes a second, each way
    memory: float = float("inf")  # bytes a second, of all channels
    max_inflight_bytes: float = float("inf")


@dataclass(frozen=True)
class Load:
    """What the clients of all servers do together."""

    elements: int
    concurrency: int  # requests that each client has outstanding
    kind: str = "unary"  # or "session"
    clients: int = 1
    channels: int = 1  # of each client
    logit_bytes: float = 4
    target_bytes: float = 4
    think_seconds: float = 0  # between an answer and the next request
    own_cores: bool = True  # False: the clients run on the server's cores

    @property
    def request_bytes(self) -> float:
        return self.elements * (self.logit_bytes + self.target_bytes) + 40

    @property
    def reply_bytes(self) -> float:
        return self.elements * self.logit_bytes + 80

    @property
    def together(self) -> int:
        """How many requests travel as one. Entries that are ready together share a message, so
        those of a session stay together until a message is full."""
        if self.kind != "session":
            return 1
        return max(1, min(self.concurrency // self.channels, int(MESSAGE_BYTES / self.reply_bytes)))

    @property
    def outstanding(self) -> int:
        return self.clients * self.concurrency

    @property
    def connections(self) -> int:
        return self.clients * self.channels
