"""Simulates clients and servers: threads, cores and networks as queues, on SimPy."""

from __future__ import annotations

import math
import random
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field

import simpy

from scaling.bounds import INLINE_ELEMENTS, PORTION_ELEMENTS
from scaling.inputs import Host, Load, ServiceTimes

Steps = Generator[simpy.Event, object, None]

PIECE_BYTES = 256 * 1024  # a message is sent, carried and received in pieces of this size


class Thread:
    """Does one thing after another, each on a core. A thread without work sleeps."""

    def __init__(
        self, env: simpy.Environment, cores: simpy.Resource | None, wake_seconds: float
    ) -> None:
        self._env, self._cores, self._wake_seconds = env, cores, wake_seconds
        self._turns = simpy.Resource(env)
        self._last_end = -1.0
        self.busy_seconds = 0.0

    def work(self, seconds: float, extra_if_asleep: float = 0) -> Steps:
        asleep = self._turns.count == 0 and self._env.now > self._last_end
        with self._turns.request() as turn:
            yield turn
            if asleep:
                yield self._env.timeout(self._wake_seconds)
                seconds += extra_if_asleep
            self.busy_seconds += seconds
            if self._cores is None:  # a core of its own
                yield self._env.timeout(seconds)
            else:
                with self._cores.request() as core:
                    yield core
                    yield self._env.timeout(seconds)
            self._last_end = self._env.now


class Link:
    """Carries one piece after another."""

    def __init__(self, env: simpy.Environment, bytes_per_second: float) -> None:
        self._env, self._rate = env, bytes_per_second
        self._turns = simpy.Resource(env)
        self.busy_seconds = 0.0

    def carry(self, size: float) -> Steps:
        if math.isinf(self._rate):
            return
        with self._turns.request() as turn:
            yield turn
            self.busy_seconds += size / self._rate
            yield self._env.timeout(size / self._rate)


class Server:
    def __init__(self, env: simpy.Environment, host: Host, wake_seconds: float) -> None:
        self.host = host
        self.cores = simpy.Resource(env, host.cores)
        self.rpc = [Thread(env, self.cores, wake_seconds) for _ in range(host.rpc_threads)]
        self.workers = [Thread(env, self.cores, wake_seconds) for _ in range(host.workers)]
        self.receives, self.sends = Link(env, host.nic), Link(env, host.nic)
        self.next_worker = 0

    def take_worker(self) -> Thread:
        self.next_worker = (self.next_worker + 1) % len(self.workers)
        return self.workers[self.next_worker]


@dataclass(frozen=True)
class Connection:
    rpc: Thread  # that serves it
    link: Link


@dataclass
class Outcome:
    """What was seen after the warm-up."""

    seconds: float = 0
    latencies: list[float] = field(default_factory=list)
    outstanding_seconds: float = 0  # the integral of the requests outstanding
    utilisation: dict[str, float] = field(default_factory=dict)

    @property
    def throughput(self) -> float:
        return len(self.latencies) / self.seconds

    @property
    def mean_latency(self) -> float:
        return sum(self.latencies) / len(self.latencies)

    @property
    def mean_outstanding(self) -> float:
        return self.outstanding_seconds / self.seconds

    def quantile(self, part: float) -> float:
        ordered = sorted(self.latencies)
        return ordered[min(int(part * len(ordered)), len(ordered) - 1)]


class Simulation:
    """Runs a load until so many requests are answered. The first half is not counted."""

    def __init__(
        self, times: ServiceTimes, host: Host, load: Load, *, servers: int = 1, seed: int = 1
    ) -> None:
        self._times, self._load = times, load
        self._transport = times.transport(load.kind)
        self._env = simpy.Environment()
        self._random = random.Random(seed)
        self._servers = [Server(self._env, host, times.wake_seconds) for _ in range(servers)]
        self._answered = 0
        self._since = 0.0  # the end of the warm-up
        self._outstanding, self._changed = 0, 0.0
        self._outcome = Outcome()

    def run(self, requests: int) -> Outcome:
        self._warm_up, self._wanted = requests // 2, requests
        self._done = self._env.event()
        for number in range(self._load.clients):
            self._start_client(number)
        self._env.run(until=self._done)
        return self._outcome

    def _start_client(self, number: int) -> None:
        server = self._servers[number % len(self._servers)]
        cores = None if self._load.own_cores else server.cores
        thread = Thread(self._env, cores, self._times.wake_seconds)
        first = number // len(self._servers) * self._load.channels
        connections = [
            Connection(
                server.rpc[(first + channel) % len(server.rpc)],
                Link(self._env, self._times.connection_bytes_per_second),
            )
            for channel in range(self._load.channels)
        ]
        for place in range(math.ceil(self._load.concurrency / self._load.together)):
            connection = connections[place % len(connections)]
            self._env.process(self._ask(thread, server, connection))

    def _ask(self, client: Thread, server: Server, connection: Connection) -> Steps:
        think, load, rpc = self._load.think_seconds, self._load, connection.rpc
        up, down = (connection.link, server.receives), (connection.link, server.sends)
        sent, returned = load.together * load.request_bytes, load.together * load.reply_bytes
        if think:  # not all at once
            yield self._env.timeout(think * self._random.random())
        while True:
            start = self._env.now
            self._count_outstanding(load.together)
            yield from self._send(client, rpc, up, sent, True)
            yield from self._compute(server, rpc)
            yield from self._send(rpc, client, down, returned, False)
            self._count_outstanding(-load.together)
            for _ in range(load.together):
                self._count(start)
            if think:
                yield self._env.timeout(think * (0.5 + self._random.random()))

    def _send(
        self, sender: Thread, receiver: Thread, links: tuple[Link, Link], size: float, up: bool
    ) -> Steps:
        """Sends a message. The receiver takes pieces while later ones are still sent."""
        times, transport = self._times, self._transport
        mine, theirs = times.client_seconds_per_byte, times.server_seconds_per_byte
        fixed = self._load.together * transport.client / 2
        other_fixed = self._load.together * transport.server / 2
        wake = transport.server_wake
        if not up:
            mine, theirs, fixed, other_fixed = theirs, mine, other_fixed, fixed
            wake = transport.client_wake
        pieces = math.ceil(size / PIECE_BYTES)
        piece = size / pieces
        received: list[simpy.Event] = []
        for number in range(pieces):
            yield from sender.work(piece * mine + (0 if number else fixed))
            arrival = self._receive(
                receiver, links, piece, piece * theirs + (0 if number else other_fixed), wake
            )
            if pieces == 1:
                yield from arrival
            else:
                received.append(self._env.process(arrival))
        if received:
            yield self._env.all_of(received)

    def _receive(
        self,
        receiver: Thread,
        links: tuple[Link, Link],
        size: float,
        seconds: float,
        wake: float,
    ) -> Steps:
        for link in links:
            yield from link.carry(size)
        yield from receiver.work(seconds, wake)

    def _compute(self, server: Server, rpc: Thread) -> Steps:
        elements = self._load.elements * self._load.together
        seconds = elements / self._times.elements_per_second
        if elements <= INLINE_ELEMENTS:
            yield from rpc.work(seconds)
            return
        parts = min(len(server.workers), math.ceil(elements / PORTION_ELEMENTS))
        yield self._env.all_of(
            [self._env.process(server.take_worker().work(seconds / parts)) for _ in range(parts)]
        )

    def _count_outstanding(self, change: int) -> None:
        now = self._env.now
        if self._answered >= self._warm_up:
            self._outcome.outstanding_seconds += self._outstanding * (
                now - max(self._changed, self._since)
            )
        self._outstanding += change
        self._changed = now

    def _count(self, start: float) -> None:
        self._answered += 1
        if self._answered == self._warm_up:
            self._since = self._env.now
            self._busy_before = self._busy()
        elif self._answered > self._warm_up:
            self._outcome.latencies.append(self._env.now - start)
        if self._answered == self._wanted:
            self._finish()

    def _finish(self) -> None:
        outcome = self._outcome
        outcome.seconds = self._env.now - self._since
        for name, (busy, capacity) in self._busy().items():
            spent = busy - self._busy_before[name][0]
            outcome.utilisation[name] = spent / (capacity * outcome.seconds)
        self._done.succeed()

    def _busy(self) -> dict[str, tuple[float, int]]:
        """Returns the busy seconds of each kind of resource, and how many there are."""

        def of(resources: Iterable[Thread | Link]) -> tuple[float, int]:
            listed = list(resources)
            return sum(one.busy_seconds for one in listed), len(listed)

        servers = self._servers
        return {
            "RPC threads": of(thread for server in servers for thread in server.rpc),
            "workers": of(thread for server in servers for thread in server.workers),
            "network in": of(server.receives for server in servers),
            "network out": of(server.sends for server in servers),
        }
