"""Loads by every kind of Python client on several servers, which compare every answer."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import lossd
import numpy as np

from soak.server import PATIENCE

RANDOM = np.random.default_rng(16)
SMALL = [
    (RANDOM.normal(0, 3, 64).astype(np.float32), (RANDOM.random(64) < 0.4).astype(np.uint8))
    for _ in range(8)
]
LARGE = (
    RANDOM.normal(0, 3, 500_000).astype(np.float32),
    (RANDOM.random(500_000) < 0.4).astype(np.float32),
)


class Load:
    """Asks for losses on a thread until it is stopped, and compares every answer."""

    def __init__(self, name: str, ask: Callable[[Load], None], expected: list[bytes]) -> None:
        self.name = name
        self.outcomes: Counter[str] = Counter()
        self.stopped = False
        self._expected = expected
        self._progress = threading.Condition()
        self._thread = threading.Thread(target=self._run, args=(ask,), name=name)
        self._thread.start()

    def check(self, number: int, result: lossd.LossResult) -> None:
        """Counts an answer to request `number`."""
        right = result.gradient.tobytes() == self._expected[number]
        self.count("answered" if right else "other bits")

    def count(self, outcome: str) -> None:
        with self._progress:
            self.outcomes[outcome] += 1
            self._progress.notify_all()

    def wait_for_more(self, count: int) -> None:
        """Waits for so many further outcomes."""
        with self._progress:
            goal = self.outcomes.total() + count
            assert self._progress.wait_for(lambda: self.outcomes.total() >= goal, PATIENCE), (
                f"{self.name} stands still: {self.outcomes}"
            )

    def stop(self) -> Counter[str]:
        self.stopped = True
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), f"{self.name} did not end"
        return self.outcomes

    def _run(self, ask: Callable[[Load], None]) -> None:
        while not self.stopped:
            try:
                ask(self)
            except Exception as error:  # whatever it is, it is a call that failed
                self.count(f"{type(error).__name__}: {error}")


def gradients(address: str, pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> list[bytes]:
    """Returns the bytes that one server answers, checked against arithmetic in float64."""
    found = []
    with lossd.Client(address) as client:
        for logits, targets in pairs:
            gradient = client.compute_loss(logits, targets).gradient
            exact = (1 / (1 + np.exp(-logits.astype(np.float64))) - targets) / logits.size
            np.testing.assert_allclose(gradient, exact, rtol=1e-5, atol=1e-12)
            found.append(gradient.tobytes())
    return found


def calls(client: lossd.Client) -> Callable[[Load], None]:
    def ask(load: Load) -> None:
        for number, (logits, targets) in enumerate(SMALL):
            load.check(number, client.compute_loss(logits, targets, timeout=PATIENCE))

    return ask


def large_calls(client: lossd.Client) -> Callable[[Load], None]:
    return lambda load: load.check(0, client.compute_loss(*LARGE, timeout=PATIENCE))


def session(session: lossd.Session) -> Callable[[Load], None]:
    def ask(load: Load) -> None:
        futures = [
            (number % 8, session.submit(*SMALL[number % 8], timeout=PATIENCE))
            for number in range(64)
        ]
        for number, future in futures:
            try:
                load.check(number, future.result())
            except lossd.LossdError as error:
                load.count(str(error))

    return ask


def asyncio_calls(targets: list[str], in_session: bool) -> Callable[[Load], None]:
    async def ask_all(load: Load) -> None:
        async with lossd.AsyncClient(targets) as client, client.session() as session:
            asks = session if in_session else client

            async def one(number: int) -> None:
                try:
                    load.check(number, await asks.compute_loss(*SMALL[number], timeout=PATIENCE))
                except lossd.LossdError as error:
                    load.count(str(error))

            while not load.stopped:
                await asyncio.gather(*(one(number) for number in range(8)))

    return lambda load: asyncio.run(ask_all(load))


@contextlib.contextmanager
def all_loads(targets: list[str]) -> Iterator[list[Load]]:
    """Runs a load of every kind; ends them with the block."""
    small = gradients(targets[0], SMALL)
    large = gradients(targets[1], [LARGE])
    with (
        lossd.Client(targets) as client,
        # Its large calls are streams.
        lossd.Client(targets, stream_above_bytes=1 << 20) as streaming,
        client.session() as one_session,
    ):
        loads = [
            Load("calls", calls(client), small),
            Load("more calls", calls(client), small),
            Load("large calls", large_calls(client), large),
            Load("streams", large_calls(streaming), large),
            Load("a session", session(one_session), small),
            Load("asyncio", asyncio_calls(targets, in_session=False), small),
            Load("an asyncio session", asyncio_calls(targets, in_session=True), small),
        ]
        try:
            yield loads
        finally:
            for load in loads:
                load.stop()
