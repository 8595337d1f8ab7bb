"""The entries of a ComputeLosses stream that are not answered yet, for both kinds of session."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future
from typing import Any

import grpc

from lossd import encoding, reply
from lossd.conversion import Call
from lossd.encoding import Buffer
from lossd.errors import LossdError
from lossd.memory_references import UNANSWERED
from lossd.result import LossResult

# With so much unanswered, requests wait before they are added. The server reads no further at
# these bounds either (loss_service.proto).
MOST_UNANSWERED = 1024
MOST_UNANSWERED_BYTES = 64 << 20
# A message is closed before the entry that would give it more bytes, unless it is the first.
_FULL_MESSAGE_BYTES = 1 << 20
# The header of a stream that says how long a message may be (loss_service.proto).
_MAX_MESSAGE_BYTES = "lossd-max-message-bytes"


class Entry:
    """One request, and the future of its result."""

    __slots__ = ("attempts", "call", "deadline", "done", "future", "number", "sent", "timeout")

    def __init__(
        self, call: Call, future: Any, timeout: float | None, left: float | None = None
    ) -> None:
        """`future` is one of concurrent.futures or of asyncio, `timeout` is in seconds.

        `left` are the seconds that are left of it, all of them by default.
        """
        self.call = call
        self.future = future
        self.timeout = timeout
        left = timeout if left is None else left
        self.deadline = math.inf if left is None else time.monotonic() + left
        self.number = 0
        self.attempts = 1
        self.sent = False
        self.done = False  # the future has its outcome, or is about to

    def left(self) -> float | None:
        """Returns the seconds until the deadline, or None if there is none."""
        return None if self.timeout is None else self.deadline - time.monotonic()

    def result(self, outcome: bytes | LossdError | None) -> LossResult[Any, Any]:
        """Returns the result that an answer is; raises LossdError for a failure."""
        if isinstance(outcome, bytes):
            return self.call.result(outcome)
        if outcome is None:
            text = "the answer has neither a response nor a failure"
            raise LossdError(grpc.StatusCode.INTERNAL, text, None)
        raise outcome

    def drop(self) -> None:
        """Marks an entry as done that is not sent, and tells those who wait if it is cancelled."""
        if not self.done:
            self.done = True
            if isinstance(self.future, Future):  # asyncio's needs no such call
                self.future.set_running_or_notify_cancel()

    def expired(self) -> LossdError:
        """Returns the error of a request whose time has passed."""
        text = f"no answer within the timeout of {self.timeout:g} s"
        return LossdError(grpc.StatusCode.DEADLINE_EXCEEDED, text, None)


class Entries:
    """The entries of one stream that are not answered, and the messages that they make.

    An entry whose future is cancelled or whose time has passed stays until its answer comes, if it
    was sent, because the server may use its memory until then. Not thread-safe.
    """

    def __init__(self) -> None:
        self._waiting: deque[Entry] = deque()
        self._unanswered: dict[int, Entry] = {}  # also those that wait
        self._bytes = 0  # of their requests
        self._last = 0
        self._most_bytes = math.inf  # of a message
        self._too_large: list[tuple[Entry, LossdError]] = []

    def __len__(self) -> int:
        return len(self._unanswered)

    @property
    def full(self) -> bool:
        """Whether a further entry has to wait before it is added."""
        return len(self._unanswered) >= MOST_UNANSWERED or self._bytes >= MOST_UNANSWERED_BYTES

    def take_greeting(self, headers: Iterable[tuple[str, str | bytes]]) -> None:
        """Takes the bounds of the server from the headers of the stream."""
        for key, value in headers:
            if key == _MAX_MESSAGE_BYTES and str(value).isdecimal():
                self._most_bytes = int(value)

    def add(self, entry: Entry) -> None:
        """Adds an entry, which waits until it is sent."""
        self._last += 1
        entry.number = self._last
        self._unanswered[entry.number] = entry
        self._bytes += len(entry.call.request)
        self._waiting.append(entry)

    def next_message(self) -> bytes:
        """Returns the next ComputeLossesRequest: all entries that wait, within bounds.

        Returns no bytes if none waits. Leaves out entries that nobody waits for any more, and those
        that are too large for any message, which take_too_large() has next.
        """
        waiting = self._waiting
        pieces: list[Buffer] = []
        size = count = 0
        full = min(_FULL_MESSAGE_BYTES, self._most_bytes)
        while waiting and count < MOST_UNANSWERED:
            entry = waiting[0]
            request = entry.call.request
            timeout = None
            if entry.done or entry.future.cancelled():
                waiting.popleft()
                self._remove(entry)
                entry.drop()
                continue
            if entry.timeout is not None:
                timeout = entry.deadline - time.monotonic()
                if timeout <= 0:
                    waiting.popleft()
                    continue  # take_expired() has it next
            before, after = encoding.entry(entry.number, len(request), timeout)
            own_size = len(before) + len(request) + len(after)
            if size + own_size > full and count > 0:
                break
            waiting.popleft()
            if own_size > self._most_bytes:
                self._refuse(entry, own_size)
                continue
            pieces += (before, request, after)
            size += own_size
            count += 1
            entry.sent = True
        return b"".join(pieces)

    @property
    def has_too_large(self) -> bool:
        """Whether take_too_large() has any."""
        return bool(self._too_large)

    def take_too_large(self) -> list[tuple[Entry, LossdError]]:
        """Returns the entries that next_message() found too large, with their errors."""
        taken, self._too_large = self._too_large, []
        return taken

    def _refuse(self, entry: Entry, size: int) -> None:
        self._remove(entry)
        entry.done = True
        text = f"the request needs a message of {size} bytes, and the server takes "
        text += f"{self._most_bytes:.0f} (--max_message_bytes)"
        error = LossdError(grpc.StatusCode.RESOURCE_EXHAUSTED, text, None)
        self._too_large.append((entry, error))

    def take_answers(self, message: bytes) -> list[tuple[Entry, bytes | LossdError | None]]:
        """Removes the entries that a ComputeLossesResponse answers; returns them and the answers.

        Raises LossdError if the bytes are no such message, or answer what nobody asked.
        """
        answers = list(reply.answers(message))
        self._check_ids(number for number, _ in answers)
        answered = []
        for number, outcome in answers:
            entry = self._unanswered[number]
            self._remove(entry)
            if isinstance(outcome, LossdError):
                _keep_memory(entry, outcome)
            if not entry.done:
                entry.done = True
                answered.append((entry, outcome))
        return answered

    def _check_ids(self, numbers: Iterable[int]) -> None:
        """Raises LossdError before any entry is removed, so that a stream's end has them all."""
        seen: set[int] = set()
        for number in numbers:
            if number not in self._unanswered or number in seen:
                text = f"an answer has the id {number}, which no request waits for"
                raise LossdError(grpc.StatusCode.INTERNAL, text, None)
            seen.add(number)

    def take_expired(self) -> tuple[list[Entry], float]:
        """Returns the entries whose time has passed and that are not done, and marks them as done.

        Returns the earliest deadline of the others too, which is infinite if there is none.
        """
        now = time.monotonic()
        expired, earliest = [], math.inf
        for entry in self._unanswered.values():
            if entry.done:
                continue
            if entry.deadline > now:
                earliest = min(earliest, entry.deadline)
            else:
                entry.done = True
                expired.append(entry)
        for entry in expired:
            if not entry.sent:
                self._remove(entry)
        return expired, earliest

    def take_all(self, error: LossdError) -> list[Entry]:
        """Removes all entries of a stream that ended with `error`; returns those not done."""
        entries = list(self._unanswered.values())
        for entry in entries:
            if entry.sent:
                _keep_memory(entry, error)
        self._waiting.clear()
        self._unanswered.clear()
        self._bytes = 0
        undone = [entry for entry in entries if not entry.done]
        for entry in undone:
            entry.done = True
        return undone

    def futures(self) -> list[Any]:
        """Returns the futures of the entries that are not done."""
        return [entry.future for entry in self._unanswered.values() if not entry.done]

    def forget(self, entry: Entry) -> None:
        """Removes an entry that is done or cancelled, unless it was sent."""
        if not entry.sent:
            self._remove(entry)

    def _remove(self, entry: Entry) -> None:
        if self._unanswered.pop(entry.number, None) is not None:
            self._bytes -= len(entry.call.request)


def _keep_memory(entry: Entry, error: LossdError) -> None:
    call = entry.call
    if error.code in UNANSWERED:
        call.references.keep_for_a_while(call.gradient_out, call.second_derivative_out)
