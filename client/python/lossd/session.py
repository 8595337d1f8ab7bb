"""The blocking client's session: many requests over one stream."""

from __future__ import annotations

import concurrent.futures
import itertools
import os
import threading
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future
from typing import Any, Protocol, Self, Unpack

import grpc

from lossd import arguments, forks
from lossd._channel import Connection
from lossd.conversion import Call, Logits, Targets
from lossd.entries import Entry
from lossd.errors import LossdError
from lossd.losses import BlockingLosses
from lossd.pytorch import not_compiled
from lossd.resends import Resends
from lossd.result import LossResult
from lossd.retries import Retries
from lossd.session_stream import SessionStream, fail, settle
from lossd.spec import LossOptions
from lossd.streaming import LossStream

# map() has so many requests under way.
_AHEAD = 256
# An entry that waits for a server looks again after so many seconds.
_LOOK_AGAIN_SECONDS = 1.0
_MISSING: Any = object()


class SessionClient(Protocol):
    """What a session uses of its client."""

    _retries: Retries | None

    def _check_open(self) -> None: ...

    def _connection(self, seconds: float | None = None) -> Connection: ...

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

    With a client of several servers the stream is that of one of them, and a request that it
    leaves unanswered or refuses for now is sent again, up to five times within its timeout, on
    another stream if that server is gone.

    While 1,024 requests or 64 MiB of them are not answered, further ones wait, except in callbacks
    of futures.

    Close the session, or use it in a `with` statement. A forked process cannot use lossd if a
    session had a stream during the fork.
    """

    def __init__(self, client: SessionClient) -> None:
        """Client.session() makes a session."""
        self._client = client
        self._lock = threading.Lock()  # guards the next two against opening and closing at once
        self._stream: SessionStream | None = None
        self._closed = False
        # Those that close() waits for beside the stream's: of losses that are too large for one
        # message, and of all requests that may be sent again.
        self._calls: set[Future[Any]] = set()
        retries = client._retries
        self._process = os.getpid()
        self._resends = None if retries is None else Resends(retries, self._send_again)

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
            for one, its_targets in _pairs(logits, targets):
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
        if self._process != os.getpid():  # the parent's requests, whose answers it gets
            return
        with self._lock:
            self._closed = True
        in_callback = self._runs_callback()
        if cancel_futures:
            for future in list(self._calls):
                future.cancel()
        elif self._resends is not None and not in_callback:
            self._wait_for_calls()  # which the stream still may be needed for
        with self._lock:
            stream, self._stream = self._stream, None
        if stream is not None:
            stream.close(cancel_futures)
        if not cancel_futures and not in_callback:
            self._wait_for_calls()

    def _wait_for_calls(self) -> None:
        concurrent.futures.wait(future for future in list(self._calls) if not future.cancelled())

    def _runs_callback(self) -> bool:
        """Returns whether the caller is a callback of a future that is being delivered."""
        stream = self._stream
        if stream is not None and stream.runs_callback():
            return True
        return self._resends is not None and self._resends.runs_callback()

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
        if self._runs_callback():
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
        if self._resends is not None:
            self._calls.add(future)
            future.add_done_callback(self._calls.discard)
        entry = Entry(call, future, seconds)
        waits = not self._runs_callback()
        try:
            while not self._open_stream(seconds).add(entry, waits=waits):
                pass  # that stream has ended in the meantime
        except LossdError as error:  # the names of several servers are not known
            fail(future, error)
        except BaseException:
            self._calls.discard(future)
            raise
        return future

    def _send_again(self, entry: Entry) -> None:
        """Has an entry sent on whichever stream there is, also while the session closes."""
        assert self._resends is not None
        left = entry.left()
        if entry.future.cancelled():
            entry.drop()
            return
        if left is not None and left <= 0:
            fail(entry.future, entry.expired())
            return
        try:
            # The thread is that of all such entries, so that it does not wait for names.
            while not self._open_stream(0, closing=True).add(entry, waits=False):
                pass
        except LossdError as error:  # no server is known now
            if self._client._call_options(None)["wait_for_ready"]:
                self._resends.hold(entry, _LOOK_AGAIN_SECONDS)
                return
            unknown = LossdError(grpc.StatusCode.UNAVAILABLE, error.message, None)
            if not self._resends.take(entry, unknown):
                fail(entry.future, unknown)
        except (RuntimeError, ValueError) as error:  # for example a closed client
            text = f"the request could not be sent again: {error}"
            fail(entry.future, LossdError(grpc.StatusCode.CANCELLED, text, None))

    def _start_stream_loss(
        self, call: LossStream, timeout: float | None, future: Future[LossResult[Any, Any]]
    ) -> None:
        """Computes a loss that is too large for one message by a call of its own."""
        call_options = self._client._call_options(timeout)
        self._calls.add(future)
        future.add_done_callback(self._calls.discard)

        def compute() -> None:
            settle(future, self._client._answer, call, call_options)

        try:
            threading.Thread(target=compute, name="lossd stream loss", daemon=True).start()
        except RuntimeError:  # the process has too many threads
            self._calls.discard(future)
            raise

    def _check_open(self, closing: bool = False) -> None:
        self._client._check_open()
        if self._closed and not closing:
            raise ValueError("this Session is closed; make a new one by Client.session()")

    def _open_stream(self, seconds: float | None, closing: bool = False) -> SessionStream:
        """Returns the stream, which is opened if there is none or it takes no requests.

        `seconds` are those for looking up the names of servers. `closing`: also in a session that
        is being closed.
        """
        forks.check()
        stream = self._stream
        if stream is not None and stream.takes_requests:
            return stream
        connection = self._client._connection(seconds)
        with self._lock:
            self._check_open(closing)
            if self._stream is None or not self._stream.takes_requests:
                call_options = self._client._call_options(None)
                self._stream = SessionStream(connection, call_options, self._resends)
            return self._stream


def _pairs(
    logits: Iterable[Logits], targets: Iterable[Targets]
) -> Generator[tuple[Logits, Targets], None, None]:
    """Yields each logits with its targets. Raises ValueError if one of the two ends first."""
    pairs = itertools.zip_longest(logits, targets, fillvalue=_MISSING)
    for index, (one, its_targets) in enumerate(pairs):
        if one is _MISSING or its_targets is _MISSING:
            ended, longer = ("logits", "targets") if one is _MISSING else ("targets", "logits")
            raise ValueError(f"{ended}: only {index}, and there are more {longer}")
        yield one, its_targets
