"""The requests of a session that wait to be sent again."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
import weakref
from collections.abc import Callable

from lossd.entries import Entry
from lossd.errors import LossdError
from lossd.retries import Retries


class Resends:
    """Holds entries until their time. Its thread runs while it holds one. Thread-safe."""

    def __init__(self, retries: Retries, send: Callable[[Entry], None]) -> None:
        """`send` is called on the thread, and must not raise."""
        self._retries = retries
        self._send = send
        self._changed = threading.Condition()
        self._numbers = itertools.count()
        self._held: list[tuple[float, int, Entry]] = []  # a heap
        self._runs = False
        # The threads of the session, which run callbacks.
        self._threads: weakref.WeakSet[threading.Thread] = weakref.WeakSet()

    def know(self, thread: threading.Thread) -> None:
        """Says that a thread of the session runs callbacks."""
        self._threads.add(thread)

    def runs_callback(self) -> bool:
        """Returns whether the caller is a callback of a future that the session delivers."""
        return threading.current_thread() in self._threads

    def answered(self, count: int) -> None:
        """Counts answers for the budget."""
        self._retries.answered(count)

    def take(self, entry: Entry, error: LossdError) -> bool:
        """Takes an entry that failed, if it is to be sent again and there is a thread for that."""
        if entry.future.cancelled():
            return False
        delay = self._retries.delay(error, entry.attempts, entry.left())
        if delay is None:
            return False
        with self._changed:
            if not self._runs and not self._start():
                return False
            entry.attempts += 1
            entry.done = entry.sent = False
            self._push(entry, delay)
        return True

    def hold(self, entry: Entry, seconds: float) -> None:
        """Holds an entry again that was not sent, from `send`, for so long or until its time."""
        left = entry.left()
        with self._changed:
            self._push(entry, seconds if left is None else min(seconds, left))

    def _push(self, entry: Entry, delay: float) -> None:
        heapq.heappush(self._held, (time.monotonic() + delay, next(self._numbers), entry))
        self._changed.notify()

    def _start(self) -> bool:
        """Starts the thread, which finds an entry when the lock is free, or returns False."""
        thread = threading.Thread(target=self._run, name="lossd resends", daemon=True)
        self.know(thread)
        try:
            thread.start()
        except RuntimeError:  # the process has too many threads
            return False
        self._runs = True
        return True

    def _run(self) -> None:
        while (entry := self._next()) is not None:
            self._send(entry)

    def _next(self) -> Entry | None:
        """Waits for the next entry's time; returns None if there is none."""
        with self._changed:
            while self._held:
                left = self._held[0][0] - time.monotonic()
                if left <= 0:
                    return heapq.heappop(self._held)[2]
                self._changed.wait(left)
            self._runs = False
            return None
