"""The stream of a blocking client's session, and the threads that write and read it."""

from __future__ import annotations

import concurrent.futures
import math
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Self

import grpc

from lossd import forks
from lossd._channel import Connection
from lossd.entries import Entries, Entry
from lossd.errors import LossdError
from lossd.resends import Resends
from lossd.result import LossResult

# close() waits so long for the server to end a stream on which everything is answered.
_LAST_SECONDS = 1.0
# With several servers, a stream that its server has not begun to answer by then is given up. The
# server sends its headers at once; one that is stopped does not.
GREETING_SECONDS = 5.0


class SessionStream:
    """One RPC of a session, and the threads that write its requests and read its answers.

    It is an iterator of the messages to send, which a thread of gRPC asks for the next one as soon
    as the one before it is out. Thread-safe.
    """

    def __init__(
        self, connection: Connection, call_options: dict[str, Any], resends: Resends | None
    ) -> None:
        """`resends` takes the entries that another server may answer; None if there is none."""
        self.ended = False
        self._resends = resends
        self._connection = connection  # which is open as long as something refers to it
        self._in_use = forks.begin_stream()
        self._process = os.getpid()
        # Guards all below. It may be entered again, by a signal handler of the main thread.
        self._lock = threading.RLock()
        self._sendable = threading.Condition(self._lock)
        self._has_room = threading.Condition(self._lock)
        self._alarm = threading.Condition(self._lock)
        self._entries = Entries()
        self._greeted = False  # until then nothing is sent
        self._closing = False
        self._writer_waits = False
        self._alarm_time = math.inf
        self._greet_by = math.inf  # at this time the stream is given up if it has not begun
        self._silent = False  # it was given up
        self._clock: threading.Thread | None = None  # runs once there is a time to watch
        self._reader = threading.Thread(target=self._read, name="lossd session", daemon=True)
        self._callback_threads: set[threading.Thread] = set()
        self._know(self._reader)
        self._call: Any = None
        others = set(threading.enumerate())
        try:
            self._call = connection.compute_losses(self, **call_options)
            self._grpc_threads = set(threading.enumerate()) - others
            # A stream that waits for a connection may have no server yet.
            if resends is not None and not call_options["wait_for_ready"]:
                self._await_greeting()
            self._reader.start()
        except (ValueError, RuntimeError):  # the client was closed, or there are too many threads
            self._abandon()
            raise

    @property
    def takes_requests(self) -> bool:
        """Whether the stream has neither ended nor been given up."""
        return not self.ended and not self._closing

    def add(self, entry: Entry, *, waits: bool = True) -> bool:
        """Has an entry sent, after it has waited for room if it `waits`.

        Returns False if the stream takes no requests any more.
        """
        with self._lock:
            if waits and self._entries.full and not self.runs_callback():
                self._wait_for_room(entry.deadline)
            if self.ended or self._closing:
                return False
            if entry.deadline < self._alarm_time:
                self._set_alarm(entry.deadline)
            self._entries.add(entry)
            self._tell_of_room()
            if self._writer_waits:
                self._writer_waits = False
                self._sendable.notify()
        return True

    def runs_callback(self) -> bool:
        """Returns whether the caller is a callback of a future that is being delivered."""
        return threading.current_thread() in self._callback_threads

    def _know(self, thread: threading.Thread) -> None:
        """Says that a thread runs callbacks."""
        self._callback_threads.add(thread)
        if self._resends is not None:
            self._resends.know(thread)

    def close(self, cancel: bool) -> None:
        """Ends the stream once the requests under way are answered, or cancels them."""
        if self._process != os.getpid():  # the parent's stream, which a child must not touch
            return
        with self._lock:
            self._closing = True
            self._sendable.notify()
            self._has_room.notify_all()
            futures = self._entries.futures()
        if cancel:
            for future in futures:
                future.cancel()
        if self.runs_callback():
            return
        if not cancel:
            concurrent.futures.wait(future for future in futures if not future.cancelled())
        with self._lock:
            owed = len(self._entries)  # to nobody who waits
        if not cancel and owed == 0:
            self._reader.join(_LAST_SECONDS)
        self._call.cancel()
        self._reader.join()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        while True:
            with self._lock:
                message = self._next_message()
                too_large = self._entries.take_too_large()
                if too_large:
                    self._know(threading.current_thread())
            for entry, error in too_large:
                fail(entry.future, error)
            if message:
                return message
            if not too_large:
                raise StopIteration

    def _next_message(self) -> bytes:
        """Waits for a message or an entry that is too large for one; without, the stream ends."""
        while not self.ended:
            if self._greeted:
                message = self._entries.next_message()
                self._tell_of_room()
                if message or self._entries.has_too_large:
                    return message
                if self._closing:
                    break
            self._writer_waits = True
            self._sendable.wait()
        return b""

    def _tell_of_room(self) -> None:
        """Wakes a thread that waits for room; when it has added its entry, it wakes the next."""
        if not self._entries.full:
            self._has_room.notify()

    def _abandon(self) -> None:
        """Ends a stream that nobody reads."""
        with self._lock:
            self.ended = True
            self._sendable.notify()
        if self._call is not None:
            self._call.cancel()
        forks.end_stream(self._in_use)

    def _await_greeting(self) -> None:
        with self._lock:
            self._greet_by = time.monotonic() + GREETING_SECONDS
            self._set_alarm(self._greet_by)

    def _wait_for_room(self, deadline: float) -> None:
        while self._entries.full and not self.ended and not self._closing:
            left = deadline - time.monotonic()
            if left <= 0:
                return
            self._has_room.wait(min(left, threading.TIMEOUT_MAX))

    def _read(self) -> None:
        error = LossdError(
            grpc.StatusCode.UNAVAILABLE, "the stream ended before the server answered", None
        )
        try:
            headers = self._call.initial_metadata()
            with self._lock:
                self._entries.take_greeting(headers or ())
                self._greeted = True
                self._greet_by = math.inf
                self._sendable.notify()
            for message in self._call:
                self._deliver(message)
        except grpc.RpcError as rpc_error:
            error = silence() if self._silent else self._connection.route.error(rpc_error)
        except LossdError as garbage:
            error = garbage
            self._call.cancel()
        finally:
            self._end(error)

    def _deliver(self, message: bytes) -> None:
        with self._lock:
            answered = self._entries.take_answers(message)
            self._tell_of_room()
        if self._resends is not None:
            answered = self._without_resent(self._resends, answered)
        for entry, outcome in answered:
            settle(entry.future, entry.result, outcome)

    def _without_resent(
        self, resends: Resends, answered: list[tuple[Entry, bytes | LossdError | None]]
    ) -> list[tuple[Entry, bytes | LossdError | None]]:
        """Has entries sent again where that helps; returns the others."""
        resends.answered(sum(isinstance(outcome, bytes) for _, outcome in answered))
        kept = []
        for entry, outcome in answered:
            if isinstance(outcome, LossdError):
                if outcome.code is grpc.StatusCode.UNAVAILABLE:
                    self._give_up()
                if resends.take(entry, outcome):
                    continue
            kept.append((entry, outcome))
        return kept

    def _give_up(self) -> None:
        """Leaves further requests to another stream, because this server takes no more."""
        with self._lock:
            self._closing = True
            self._sendable.notify()
            self._has_room.notify_all()

    def _end(self, error: LossdError) -> None:
        with self._lock:
            self.ended = True
            entries = self._entries.take_all(error)
            for condition in (self._sendable, self._has_room, self._alarm):
                condition.notify_all()
        for entry in entries:
            if self._resends is None or not self._resends.take(entry, error):
                fail(entry.future, LossdError(error.code, error.message, error.retry_after))
        forks.end_stream(self._in_use, self._grpc_threads)

    def _set_alarm(self, deadline: float) -> None:
        if self._clock is None:
            clock = threading.Thread(target=self._watch, name="lossd clock", daemon=True)
            self._know(clock)
            clock.start()
            self._clock = clock
        self._alarm_time = deadline
        self._alarm.notify()

    def _watch(self) -> None:
        """Fails the requests whose time has passed."""
        while not self.ended:
            with self._lock:
                now = time.monotonic()
                left = min(self._alarm_time, self._greet_by) - now
                if left > 0:
                    self._alarm.wait(min(left, threading.TIMEOUT_MAX))
                    continue
                if self._greet_by <= now:
                    self._greet_by = math.inf
                    self._silent = True
                expired, self._alarm_time = self._entries.take_expired()
                self._tell_of_room()
            if self._silent:
                self._call.cancel()
            for entry in expired:
                fail(entry.future, entry.expired())


def silence() -> LossdError:
    """Returns the error of requests whose stream was given up before it began."""
    text = f"the server has not begun to answer the stream in {GREETING_SECONDS:g} s"
    return LossdError(grpc.StatusCode.UNAVAILABLE, text, None)


def settle(
    future: Future[LossResult[Any, Any]], compute: Callable[..., Any], *arguments: Any
) -> None:
    """Gives a future the result or error of a function, unless it is cancelled."""
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = compute(*arguments)
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)


def fail(future: Future[LossResult[Any, Any]], error: LossdError) -> None:
    """Gives a future an error, unless it is cancelled."""
    if future.set_running_or_notify_cancel():
        future.set_exception(error)
