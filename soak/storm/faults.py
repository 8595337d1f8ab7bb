"""What happens in a storm. Each fault lasts a while and is over when its function returns."""

from __future__ import annotations

import contextlib
import random
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable

from soak.counterparts import Client
from soak.storm.fleet import DESCRIPTORS, Fleet

LASTS = 2.0  # seconds, of what is not over at once
HOUR = 3600  # seconds, by which clocks are stepped


class Faults:
    """The faults that are possible on this machine; `done` counts those that happened."""

    def __init__(self, fleet: Fleet, clients: list[Client]) -> None:
        self._fleet = fleet
        self._clients = clients
        self._random = random.Random(16)
        self.done: Counter[str] = Counter()
        self.all: list[Callable[[], None]] = [
            self.kill,
            self.terminate,
            self.take_descriptors,
            self.replace_certificate,
        ]
        if clients:
            self.all.append(self.freeze_client)
        if fleet.way:
            self.all.append(self.cut_network)
        if fleet.clock:
            self.all.append(self.step_clock)

    def kill(self) -> None:
        self._fleet.end(self._random.choice(self._fleet.mortal), signal.SIGKILL)
        self._note("SIGKILL")

    def terminate(self) -> None:
        self._fleet.end(self._random.choice(self._fleet.mortal), signal.SIGTERM)
        self._note("SIGTERM")

    def take_descriptors(self) -> None:
        """Holds twice as many connections to the steady server as it has descriptors."""
        host, port = self._fleet.steady.address.rsplit(":", 1)
        with contextlib.ExitStack() as held:
            for _ in range(2 * DESCRIPTORS):
                client = held.enter_context(socket.socket())
                client.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    client.connect((host, int(port)))
            time.sleep(LASTS)
        self._note("descriptors taken")

    def replace_certificate(self) -> None:
        self._fleet.new_certificate()
        self._fleet.sealed.send(signal.SIGHUP)
        self._note("certificate replaced")

    def freeze_client(self) -> None:
        client = self._random.choice(self._clients)
        client.send(signal.SIGSTOP)
        time.sleep(LASTS)
        client.send(signal.SIGCONT)
        self._note("client frozen")

    def cut_network(self) -> None:
        assert self._fleet.way is not None
        self._fleet.way.cut()
        time.sleep(LASTS)
        self._fleet.way.mend()
        self._note("network cut")

    def step_clock(self) -> None:
        self._fleet.step_clock(self._random.choice((-HOUR, HOUR)))
        time.sleep(LASTS)
        self._fleet.step_clock(0)
        self._note("clock stepped")

    def _note(self, name: str) -> None:
        self.done[name] += 1
        self._fleet.note_size()
