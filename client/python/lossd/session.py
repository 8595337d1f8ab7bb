"""The blocking client's session: many requests over one stream."""

from __future__ import annotations

import concurrent.futures
import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Protocol, Self, Unpack

import grpc

from lossd import arguments, forks
from lossd.conversion import Call, Logits, Targets
from lossd.entries import Entries, Entry
from lossd.errors import LossdError
from lossd.losses import BlockingLosses
from lossd.pytorch import not_compiled
from lossd.result import LossResult
from lossd.spec import LossOptions
from lossd.streaming import LossStream

if TYPE_CHECKING:
    from lossd._channel import Connection

# map() has so many requests under way.
_AHEAD = 256
# close() waits so long for the server to end a stream on which everything is answered.
_LAST_SECONDS = 1.0


class SessionClient(Protocol):
    """What a session uses of its client."""

    def _check_open(self) -> None: ...

    def _connection(self) -> Connection: ...

    def _prepare(
        self, logits: Logits, targets: Targets, options: LossOptions
    ) -> LossStream | Call: ...

    def _call_options(self, timeout: float | None) -> dict[str, Any]: ...

    def _answer(
        self, call: LossStream | Call, call_options: dict[str, Any]
    ) -> LossResult[Any, Any]: ...


class Session(BlockingLosses):
    """Sends many requests of one client over one stream. Thread-safe.

    ```python
    with client.session() as session:
        futures = [session.submit(logits, targets) for logits, targets in pairs]
        results = [future.result() for future in futures]
    ```

    Requests that come while a message is being sent share the next one, and so do answers. With
    many small requests under way that is several times as fast as calls of Client.compute_loss().
    Where one thread waits for each answer before it asks again, Client.compute_loss() is faster.
    Results have the same bits, and failures are the same errors, each of its own request.

    The first request opens the stream. If the stream ends, for example because the server has
    ended, all requests under way fail with the code of that, which is UNAVAILABLE for a server
    that is gone, and the next request opens another stream. Nothing is sent twice: gRPC's own
    retries do not see the requests of a session, and `LossdError.retry_after` says when to send a
    refused one again.

    While 1,024 requests or 64 MiB of them are not answered, further ones wait, except in callbacks
    of futures.

    Close the session, or use it in a `with` statement. A forked process cannot use lossd if a
    session had a stream during the fork.
    """

    def __init__(self, client: SessionClient) -> None:
        """Client.session() makes a session."""
        self._client = client
        self._lock = threading.Lock()  # guards the next two against opening and closing at once
        self._stream: _Stream | None = None
        self._closed = False
        self._calls: set[Future[Any]] = set()  # of losses that are too large for one message

    def submit(
        self,
        logits: Logits,
        targets: Targets,
        *,
        timeout: float | None = None,
        **options: Unpack[LossOptions],
    ) -> Future[LossResult[Any, Any]]:
        """Sends the request of compute_loss() and returns a future of its result.

        The arguments are those of compute_loss(), and arrays that are not in shared memory may be
        changed as soon as this returns. `timeout` counts from this call on.

        A future that is cancelled has no result any more. If its request was sent, the server
        computes it all the same, and writes to memory of `gradient_out` that it shares. Callbacks
        run on a thread of the session, which delivers no other result meanwhile; they may call
        submit() and must not wait for another result.

        Raises ValueError or TypeError as compute_loss() does; all other errors are the future's.
        """
        future: Future[LossResult[Any, Any]] = self._submit(logits, targets, timeout, options)
        return future

    def map(
        self,
        logits: Iterable[Logits],
        targets: Iterable[Targets],
        *,
        timeout: float | None = None,
        **options: Unpack[LossOptions],
    ) -> Generator[LossResult[Any, Any], None, None]:
        """Yields the results of compute_loss() for each pair of logits and targets, in order.

        Up to 256 requests are under way before the first result is taken. `timeout` is that of
        each, and all have the same options. The first error ends the iteration. Raises ValueError
        if one of the iterables is longer than the other.
        """
        waiting: deque[Future[LossResult[Any, Any]]] = deque()
        try:
            for one, its_targets in zip(logits, targets, strict=True):
                if len(waiting) >= _AHEAD:
                    yield waiting.popleft().result()
                waiting.append(self._submit(one, its_targets, timeout, options))
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

    def close(self, *, cancel_futures: bool = False) -> None:
        """Waits for the answers to requests under way, and ends the stream.

        `cancel_futures`: True cancels the futures under way instead. Later calls do nothing, and
        any other method raises ValueError.
        """
        with self._lock:
            self._closed = True
            stream, self._stream = self._stream, None
        if stream is not None:
            stream.close(cancel_futures)
        if not cancel_futures:
            concurrent.futures.wait(list(self._calls))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """Closes the session; after an exception the futures under way are cancelled."""
        self.close(cancel_futures=kind is not None)

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a Session cannot be pickled; make it in the process that uses it")

    def _compute(
        self, logits: Logits, targets: Targets, timeout: float | None, options: LossOptions
    ) -> LossResult[Any, Any]:
        stream = self._stream
        if stream is not None and stream.runs_callback():
            raise RuntimeError("a callback of a future would wait for its own thread; use submit()")
        future: Future[LossResult[Any, Any]] = self._submit(logits, targets, timeout, options)
        try:
            return future.result()
        except BaseException:  # for example KeyboardInterrupt
            future.cancel()
            raise
        finally:
            del future  # it refers to the error, whose traceback refers to this frame

    @not_compiled
    def _submit(
        self, logits: Logits, targets: Targets, timeout: float | None, options: LossOptions
    ) -> Future[LossResult[Any, Any]]:
        seconds = arguments.seconds("timeout", timeout)
        self._check_open()
        call = self._client._prepare(logits, targets, options)
        future: Future[LossResult[Any, Any]] = Future()
        if isinstance(call, LossStream):
            self._start_stream_loss(call, timeout, future)
            return future
        call.references.synchronize()
        entry = Entry(call, future, seconds)
        while not self._open_stream().add(entry):
            pass  # that stream has ended in the meantime
        return future

    def _start_stream_loss(
        self, call: LossStream, timeout: float | None, future: Future[LossResult[Any, Any]]
    ) -> None:
        """Computes a loss that is too large for one message by a call of its own."""
        call_options = self._client._call_options(timeout)
        self._calls.add(future)
        future.add_done_callback(self._calls.discard)

        def compute() -> None:
            _settle(future, self._client._answer, call, call_options)

        threading.Thread(target=compute, name="lossd stream loss", daemon=True).start()

    def _check_open(self) -> None:
        self._client._check_open()
        if self._closed:
            raise ValueError("this Session is closed; make a new one by Client.session()")

    def _open_stream(self) -> _Stream:
        """Returns the stream, which is opened if there is none or it has ended."""
        forks.check()
        stream = self._stream
        if stream is not None and not stream.ended:
            return stream
        with self._lock:
            self._check_open()
            if self._stream is None or self._stream.ended:
                call_options = self._client._call_options(None)
                self._stream = _Stream(self._client._connection(), call_options)
            return self._stream


class _Stream:
    """One RPC of a session, and the threads that write its requests and read its answers.

    It is an iterator of the messages to send, which a thread of gRPC asks for the next one as soon
    as the one before it is out. Thread-safe.
    """

    def __init__(self, connection: Connection, call_options: dict[str, Any]) -> None:
        self.ended = False
        self._in_use = forks.begin_stream()
        self._process = os.getpid()
        self._route = connection.route
        # Guards all below. It may be entered again, by a signal handler of the main thread.
        self._lock = threading.RLock()
        self._sendable = threading.Condition(self._lock)
        self._has_room = threading.Condition(self._lock)
        self._alarm = threading.Condition(self._lock)
        self._entries = Entries()
        self._closing = False
        self._writer_waits = False
        self._alarm_time = math.inf
        self._clock: threading.Thread | None = None  # runs once a request has a timeout
        try:
            self._call = connection.compute_losses(self, **call_options)
        except ValueError:  # the client was closed in the meantime
            forks.end_stream(self._in_use)
            raise
        self._reader = threading.Thread(target=self._read, name="lossd session", daemon=True)
        self._reader.start()

    def add(self, entry: Entry) -> bool:
        """Has an entry sent, after it has waited for room; False if the stream has ended."""
        with self._lock:
            if self._entries.full and not self.runs_callback():
                self._wait_for_room(entry.deadline)
            if self.ended or self._closing:
                return False
            self._entries.add(entry)
            if self._writer_waits:
                self._writer_waits = False
                self._sendable.notify()
            if entry.deadline < self._alarm_time:
                self._set_alarm(entry.deadline)
        return True

    def runs_callback(self) -> bool:
        """Returns whether the caller is a callback of a future that is being delivered."""
        return threading.current_thread() is self._reader

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
        with self._lock:
            while not self.ended:
                message = self._entries.next_message()
                if message:
                    return message
                if self._closing:
                    break
                self._writer_waits = True
                self._sendable.wait()
        raise StopIteration

    def _wait_for_room(self, deadline: float) -> None:
        while self._entries.full and not self.ended and not self._closing:
            left = deadline - time.monotonic()
            if left <= 0:
                self._has_room.notify()  # this thread may have taken the place of another
                return
            self._has_room.wait(min(left, threading.TIMEOUT_MAX))

    def _read(self) -> None:
        error = LossdError(
            grpc.StatusCode.UNAVAILABLE, "the stream ended before the server answered", None
        )
        try:
            for message in self._call:
                self._deliver(message)
        except grpc.RpcError as rpc_error:
            error = self._route.error(rpc_error)
        except LossdError as garbage:
            error = garbage
            self._call.cancel()
        finally:
            self._end(error)

    def _deliver(self, message: bytes) -> None:
        with self._lock:
            answered = self._entries.take_answers(message)
            self._has_room.notify(len(answered))
        for entry, outcome in answered:
            _settle(entry.future, entry.result, outcome)

    def _end(self, error: LossdError) -> None:
        with self._lock:
            self.ended = True
            entries = self._entries.take_all(error)
            for condition in (self._sendable, self._has_room, self._alarm):
                condition.notify_all()
        forks.end_stream(self._in_use)
        for entry in entries:
            _fail(entry.future, LossdError(error.code, error.message, error.retry_after))

    def _set_alarm(self, deadline: float) -> None:
        self._alarm_time = deadline
        if self._clock is None:
            self._clock = threading.Thread(target=self._watch, name="lossd clock", daemon=True)
            self._clock.start()
        self._alarm.notify()

    def _watch(self) -> None:
        """Fails the requests whose time has passed."""
        while not self.ended:
            with self._lock:
                left = self._alarm_time - time.monotonic()
                if left > 0:
                    self._alarm.wait(min(left, threading.TIMEOUT_MAX))
                    continue
                expired, self._alarm_time = self._entries.take_expired()
                self._has_room.notify(len(expired))
            for entry in expired:
                _fail(entry.future, entry.expired())


def _settle(
    future: Future[LossResult[Any, Any]], compute: Callable[..., Any], *arguments: Any
) -> None:
    """Gives a future its result or error, unless it is cancelled."""
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = compute(*arguments)
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)


def _fail(future: Future[LossResult[Any, Any]], error: LossdError) -> None:
    if future.set_running_or_notify_cancel():
        future.set_exception(error)
