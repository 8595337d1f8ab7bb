"""The asyncio client's session: many requests over one stream."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from typing import Any, Protocol, Self

import grpc

from lossd import arguments, forks, session_stream
from lossd._channel import Connection
from lossd.conversion import Call, Logits, Targets
from lossd.entries import Entries, Entry
from lossd.errors import LossdError
from lossd.losses import AsyncLosses
from lossd.result import LossResult
from lossd.retries import Retries
from lossd.spec import LossOptions
from lossd.streaming import LossStream

# close() waits so long for the server to end a stream on which everything is answered.
_LAST_SECONDS = 1.0


class SessionClient(Protocol):
    """What a session uses of its client."""

    _retries: Retries | None

    def _check_open(self) -> None: ...

    def _connection(self) -> Connection: ...

    async def _look_up(self, seconds: float | None, timeout: float | None = None) -> None: ...

    def _prepare(
        self, logits: Logits, targets: Targets, options: LossOptions
    ) -> LossStream | Call: ...

    def _call_options(self, timeout: float | None) -> dict[str, Any]: ...

    async def _answer(
        self, call: LossStream | Call, call_options: dict[str, Any]
    ) -> LossResult[Any, Any]: ...


class AsyncSession(AsyncLosses):
    """Sends many requests of one client over one stream, from one event loop.

    ```python
    async with client.session() as session:
        results = await asyncio.gather(*(session.compute_loss(x, t) for x, t in pairs))
    ```

    Requests that come while a message is being sent share the next one, and so do answers. Results
    have the same bits as those of AsyncClient.compute_loss(), and failures are the same errors,
    each of its own request.

    The first request opens the stream. If the stream ends, for example because the server has
    ended, all requests under way fail with the code of that, which is UNAVAILABLE for a server
    that is gone, and the next request opens another stream. Nothing is sent twice: gRPC's own
    retries do not see the requests of a session, and `LossdError.retry_after` says when to send a
    refused one again.

    With a client of several servers the stream is that of one of them, and a request that it
    leaves unanswered or refuses for now is sent again, up to five times within its timeout, on
    another stream if that server is gone.

    While 1,024 requests or 64 MiB of them are not answered, further ones wait. A request whose task
    is cancelled after it was sent is computed all the same.

    Close the session, or use it in an `async with` statement.
    """

    def __init__(self, client: SessionClient) -> None:
        """AsyncClient.session() makes a session."""
        self._client = client
        self._stream: _Stream | None = None
        # With those that take no more requests, and whose answers are awaited.
        self._streams: set[_Stream] = set()
        self._closed = False
        self._cancelled = False
        # Futures of the requests that close() waits for or cancels beside those of the streams,
        # which are done when they are over: those that may be sent again, and the tasks of losses
        # that are too large for one message.
        self._under_way: set[asyncio.Future[Any]] = set()

    async def close(self, *, cancel_futures: bool = False) -> None:
        """Waits for the answers to requests under way, and ends the stream.

        `cancel_futures`: True cancels the requests under way instead. Later calls do nothing, and
        any other method raises ValueError.
        """
        self._closed = True
        self._cancelled = cancel_futures
        if cancel_futures:
            for over in self._under_way:
                over.cancel()
        elif self._under_way:
            await asyncio.wait(list(self._under_way))
        self._stream = None
        await asyncio.gather(*(stream.close(cancel_futures) for stream in list(self._streams)))

    def _cancel(self) -> None:
        """Ends the streams; requests under way fail with CANCELLED."""
        for stream in list(self._streams):
            stream.cancel()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        """Closes the session; after an exception the requests under way are cancelled."""
        await self.close(cancel_futures=kind is not None)

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("an AsyncSession cannot be pickled; make it in the process that uses it")

    async def _compute(
        self, logits: Logits, targets: Targets, timeout: float | None, options: LossOptions
    ) -> LossResult[Any, Any]:
        seconds = arguments.seconds("timeout", timeout)
        self._client._check_open()
        if self._closed:
            raise self._closed_error()
        call = self._client._prepare(logits, targets, options)
        if isinstance(call, LossStream):
            return await self._compute_large(call, self._client._call_options(timeout))
        retries = self._client._retries
        if retries is None:
            return await self._ask(call, seconds)
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._under_way.add(over)
        try:
            return await self._ask_until_answered(call, seconds, retries, over)
        finally:
            self._under_way.discard(over)
            over.cancel()

    async def _compute_large(
        self, call: LossStream, call_options: dict[str, Any]
    ) -> LossResult[Any, Any]:
        """Computes a loss that is too large for one message by a call of its own."""
        task = asyncio.get_running_loop().create_task(self._client._answer(call, call_options))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await task

    async def _ask_until_answered(
        self, call: Call, seconds: float | None, retries: Retries, over: asyncio.Future[None]
    ) -> LossResult[Any, Any]:
        """Returns the answer to a request, which is sent again where that helps.

        `over` is cancelled if the session does not wait for it.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        await self._client._look_up(seconds)
        for attempt in itertools.count(1):
            left = None if deadline is None else max(deadline - time.monotonic(), 1e-6)
            try:
                if attempt > 1:  # _connection() would make the loop wait for names
                    await self._client._look_up(left, seconds)
                result = await self._ask(call, seconds, left)
            except LossdError as error:
                if deadline is not None:
                    left = deadline - time.monotonic()
                delay = retries.delay(error, attempt, left)
                if delay is None or self._cancelled:
                    raise
            else:
                retries.answered()
                return result
            await asyncio.wait([over], timeout=delay)
        raise AssertionError("count() has no end")

    async def _ask(
        self, call: Call, seconds: float | None, left: float | None = None
    ) -> LossResult[Any, Any]:
        """Returns the answer to one sending, with `left` of the timeout `seconds`, or all of it."""
        loop = asyncio.get_running_loop()
        entry = Entry(call, loop.create_future(), seconds, left)
        left = entry.left()
        alarm = None if left is None else loop.call_later(left, _expire, entry)
        stream: _Stream | None = None
        try:
            if call.references.names_device_memory:
                await asyncio.to_thread(call.references.synchronize)
            while True:
                if self._cancelled:
                    raise asyncio.CancelledError
                stream = self._open_stream(loop)
                if await stream.add(entry):
                    break
                # That stream has ended in the meantime.
            result: LossResult[Any, Any] = await entry.future
            return result
        finally:
            if alarm is not None:
                alarm.cancel()
            if stream is not None:
                stream.forget(entry)

    @staticmethod
    def _closed_error() -> ValueError:
        return ValueError("this AsyncSession is closed; make a new one by AsyncClient.session()")

    def _open_stream(self, loop: asyncio.AbstractEventLoop) -> _Stream:
        """Returns the stream, which is opened if there is none or it has ended."""
        forks.check()
        self._client._check_open()
        # A session that is being closed still sends again what is under way.
        if self._closed and (self._cancelled or not self._under_way):
            raise self._closed_error()
        stream = self._stream
        if stream is None or not stream.takes_requests or stream.loop.is_closed():
            call_options = self._client._call_options(None)
            connection = self._client._connection()
            several = self._client._retries is not None
            stream = self._stream = _Stream(loop, connection, call_options, several)
            self._streams.add(stream)
            stream.add_done_callback(self._streams.discard)
        elif stream.loop is not loop:
            raise RuntimeError("this AsyncSession is in use in another event loop; make one there")
        return stream


class _Stream:
    """One RPC of a session, and the tasks that write its requests and read its answers."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        connection: Connection,
        call_options: dict[str, Any],
        several: bool,
    ) -> None:
        """`several` servers may answer what this one leaves."""
        self.loop = loop
        self._several = several
        self.ended = False
        self._connection = connection
        self._entries = Entries()
        self._closing = False
        # A stream that waits for a connection may have no server yet.
        hurried = several and not call_options["wait_for_ready"]
        self._most_silence = session_stream.GREETING_SECONDS if hurried else None
        self._greeted = asyncio.Event()  # until then nothing is sent
        self._sendable = asyncio.Event()
        self._queue = asyncio.Lock()  # one request after another waits for room
        self._has_room = asyncio.Event()
        self._call = connection.compute_losses(**call_options)
        self._writer = loop.create_task(self._write())
        self._reader = loop.create_task(self._read())

    @property
    def takes_requests(self) -> bool:
        """Whether the stream has neither ended nor been given up."""
        return not self.ended and not self._closing

    async def add(self, entry: Entry) -> bool:
        """Has an entry sent, after it has waited for room.

        Returns False if the stream takes no requests any more.
        """
        if self._entries.full or self._queue.locked():
            await self._wait_for_room(entry)
        if entry.done:  # its time has passed
            return True
        if self.ended or self._closing:
            return False
        self._entries.add(entry)
        self._sendable.set()
        return True

    def forget(self, entry: Entry) -> None:
        """Makes room if nobody waits any more for an entry that was not sent."""
        self._entries.forget(entry)
        self._tell_of_room()

    async def close(self, cancel: bool) -> None:
        """Ends the stream once the requests under way are answered, or cancels them."""
        self._closing = True
        self._sendable.set()
        self._has_room.set()
        futures = self._entries.futures()
        if cancel:
            for future in futures:
                future.cancel()
        elif futures:
            await asyncio.wait(futures)
        if not cancel and len(self._entries) == 0:
            await asyncio.wait([self._reader], timeout=_LAST_SECONDS)
        self._call.cancel()
        await asyncio.wait([self._reader, self._writer])

    def add_done_callback(self, done: Callable[[_Stream], object]) -> None:
        """Has `done` called when the stream has ended."""
        self._reader.add_done_callback(lambda _: done(self))

    def cancel(self) -> None:
        """Ends the stream at once, from any thread."""
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self._call.cancel)

    async def _wait_for_room(self, entry: Entry) -> None:
        try:
            async with asyncio.timeout(entry.left()), self._queue:
                while self._entries.full and not self.ended and not self._closing:
                    self._has_room.clear()
                    await self._has_room.wait()
        except TimeoutError:
            _expire(entry)

    async def _write(self) -> None:
        try:
            await self._greeted.wait()
            while not self.ended:
                message = self._entries.next_message()
                for entry, error in self._entries.take_too_large():
                    entry.future.set_exception(error)
                self._tell_of_room()
                if message:
                    await self._call.write(message)
                elif self._closing:
                    await self._call.done_writing()
                    return
                else:
                    self._sendable.clear()
                    await self._sendable.wait()
        except (grpc.RpcError, asyncio.InvalidStateError):
            pass  # the reader learns the reason

    async def _read(self) -> None:
        error = LossdError(
            grpc.StatusCode.UNAVAILABLE, "the stream ended before the server answered", None
        )
        try:
            async with asyncio.timeout(self._most_silence):
                headers = await self._call.initial_metadata()
            self._entries.take_greeting(headers or ())
            self._greeted.set()
            async for message in self._call:
                self._deliver(message)
        except TimeoutError:
            error = session_stream.silence()
            self._call.cancel()
        except grpc.RpcError as rpc_error:
            error = self._connection.route.error(rpc_error)
        except LossdError as garbage:
            error = garbage
            self._call.cancel()
        except asyncio.CancelledError:  # the client is closed, or the loop ends
            error = LossdError(grpc.StatusCode.CANCELLED, "the stream was cancelled", None)
        finally:
            self._end(error)

    def _deliver(self, message: bytes) -> None:
        for entry, outcome in self._entries.take_answers(message):
            if self._several and isinstance(outcome, LossdError):
                self._give_up_after(outcome)
            if entry.future.done():
                continue
            try:
                result = entry.result(outcome)
            except BaseException as error:
                entry.future.set_exception(error)
            else:
                entry.future.set_result(result)
        self._tell_of_room()

    def _tell_of_room(self) -> None:
        if not self._entries.full:
            self._has_room.set()

    def _give_up_after(self, failure: LossdError) -> None:
        """Leaves further requests to another stream if this server takes no more."""
        if failure.code is grpc.StatusCode.UNAVAILABLE:
            self._closing = True
            self._sendable.set()
            self._has_room.set()

    def _end(self, error: LossdError) -> None:
        self.ended = True
        # grpc.aio's write() waits on after the cancellation of a call that has no connection yet.
        self._writer.cancel()
        self._sendable.set()
        self._has_room.set()
        for entry in self._entries.take_all(error):
            if not entry.future.done():
                entry.future.set_exception(LossdError(error.code, error.message, error.retry_after))


def _expire(entry: Entry) -> None:
    if not entry.done:
        entry.done = True
        if not entry.future.done():
            entry.future.set_exception(entry.expired())
