"""The entries of a ComputeLosses stream: their bytes, their bounds and the times they have."""

from __future__ import annotations

import math
import time
from concurrent.futures import Future, wait
from typing import Any

import grpc
import lossd
import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration
from lossd import conversion, encoding, entries, reply
from lossd.entries import Entries, Entry
from lossd.v1 import loss_service_pb2

ZEROS = np.zeros(4, np.float32)
REQUEST = loss_service_pb2.ComputeLossRequest
MESSAGE = loss_service_pb2.ComputeLossesRequest
ANSWERS = loss_service_pb2.ComputeLossesResponse
Answer = loss_service_pb2.ComputeLossesResponse.Entry
RESPONSE = loss_service_pb2.ComputeLossResponse(loss=1.5, valid_count=4)


def new_entry(timeout: float | None = None, elements: int = 4) -> Entry:
    array: np.ndarray = np.zeros(elements, np.float32)
    return Entry(conversion.to_call(array, array), Future(), timeout)


def ids(message: bytes) -> list[int]:
    return [entry.id for entry in MESSAGE.FromString(message).entries]


@pytest.mark.parametrize("number", [1, 127, 128, 2**32, 2**63 - 1])
@pytest.mark.parametrize("size", [0, 1, 127, 128, 70_000])
@pytest.mark.parametrize("timeout", [None, 1e-9, 0.25, 1.0, 59.999999999, 1e9])
def test_an_entry_has_the_bytes_of_protobuf(number: int, size: int, timeout: float | None) -> None:
    request = REQUEST(request_id="r" * size) if size else REQUEST()
    sent = request.SerializeToString()
    before, after = encoding.entry(number, len(sent), timeout)
    message = MESSAGE.FromString(before + sent + after)
    assert message.SerializeToString(deterministic=True) == before + sent + after
    (entry,) = message.entries
    assert (entry.id, entry.request) == (number, request)
    assert entry.HasField("timeout") == (timeout is not None)
    if timeout is not None:
        assert 0 <= entry.timeout.nanos < 1_000_000_000
        assert entry.timeout.ToNanoseconds() == pytest.approx(timeout * 1e9, rel=1e-12, abs=1)
        assert entry.timeout.ToNanoseconds() > 0


def test_a_time_just_below_a_second_is_a_whole_one() -> None:
    assert Duration.FromString(encoding.duration(math.nextafter(1, 0))) == Duration(seconds=1)


def test_answers_are_read_as_the_generated_code_reads_them() -> None:
    failure = loss_service_pb2.Failure(code=8, message="full", retry_delay=Duration(nanos=10**7))
    message = ANSWERS(
        entries=[
            Answer(id=2**63 - 1, response=RESPONSE),
            Answer(id=1, failure=failure),
            Answer(id=300, failure=loss_service_pb2.Failure(code=3, message="targets: ä")),
            Answer(id=4),
            Answer(response=RESPONSE),
        ]
    ).SerializeToString()
    unknown = b"\x78\x05" + b"\x7a\x03abc"
    whole = RESPONSE.SerializeToString()
    for sent in (message, unknown + message + unknown):
        found = reply.answers(sent)
        assert [number for number, _ in found] == [2**63 - 1, 1, 300, 4, 0]
        outcomes = [outcome for _, outcome in found]
        assert (outcomes[0], outcomes[3], outcomes[4]) == (whole, None, whole)
        full, invalid = outcomes[1:3]
        assert isinstance(full, lossd.LossdError)
        assert isinstance(invalid, lossd.LossdError)
        assert (full.code, full.message) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "full")
        assert full.retry_after == 0.01
        assert (invalid.code, invalid.message, invalid.retry_after) == (
            grpc.StatusCode.INVALID_ARGUMENT,
            "targets: ä",
            None,
        )


@pytest.mark.parametrize("code", [0, 99, -1])
def test_a_failure_of_no_known_code_is_an_unknown_error(code: int) -> None:
    failure = loss_service_pb2.Failure(code=code, message="what")
    ((_, outcome),) = reply.answers(ANSWERS(entries=[Answer(failure=failure)]).SerializeToString())
    assert isinstance(outcome, lossd.LossdError)
    assert outcome.code is grpc.StatusCode.UNKNOWN


def test_bytes_that_are_no_answers_are_an_error_of_the_server() -> None:
    whole = ANSWERS(entries=[Answer(id=7, response=RESPONSE)]).SerializeToString()
    for bad in (b"\x0a", b"\x0a\x05\x08", b"\x0b", whole[:-1], b"\x0a\x03\x1a\x01\x08"):
        with pytest.raises(lossd.LossdError, match="INTERNAL: the reply is no ComputeLosses"):
            reply.answers(bad)
    for length in range(len(whole)):  # whatever is cut off, nothing else is raised
        try:
            reply.answers(whole[:length])
        except lossd.LossdError:
            continue


def test_all_that_waits_is_one_message() -> None:
    queue = Entries()
    added = [new_entry() for _ in range(5)]
    for entry in added:
        queue.add(entry)
    message = queue.next_message()
    assert ids(message) == [1, 2, 3, 4, 5]
    first = MESSAGE.FromString(message).entries[0]
    assert first.request.SerializeToString(deterministic=True) == added[0].call.request
    assert queue.next_message() == b""
    answer = ANSWERS(entries=[Answer(id=number, response=RESPONSE) for number in (4, 2)])
    assert [entry.number for entry, _ in queue.take_answers(answer.SerializeToString())] == [4, 2]
    assert len(queue) == 3


def test_messages_and_what_is_unanswered_are_bounded() -> None:
    queue = Entries()
    while not queue.full:
        queue.add(new_entry())
    assert len(queue) == 1024
    queue.add(new_entry())  # whoever adds looks at `full` first, unless it must not wait
    assert [len(ids(queue.next_message())) for _ in range(3)] == [1024, 1, 0]
    queue = Entries()
    while not queue.full:
        queue.add(new_entry(elements=1 << 20))
    assert len(queue) == 8  # of 8 MiB each
    assert len(ids(queue.next_message())) == 1
    queue.add(new_entry(elements=100_000))
    for _ in range(7):
        assert len(ids(queue.next_message())) == 1
    for _ in range(20):
        queue.add(new_entry(elements=1000))
    message = queue.next_message()
    assert len(ids(message)) == 21
    assert len(message) < 1 << 20


def test_what_nobody_waits_for_is_not_sent() -> None:
    queue = Entries()
    kept, cancelled, expired = new_entry(60), new_entry(), new_entry(1e-9)
    for entry in (kept, cancelled, expired):
        queue.add(entry)
    cancelled.future.cancel()
    message = MESSAGE.FromString(queue.next_message())
    assert [entry.id for entry in message.entries] == [kept.number]
    assert 59 < message.entries[0].timeout.ToTimedelta().total_seconds() <= 60
    wait([cancelled.future])
    assert queue.take_expired() == ([expired], kept.deadline)
    assert queue.take_expired() == ([], kept.deadline)
    assert len(queue) == 1
    assert str(expired.expired()) == "DEADLINE_EXCEEDED: no answer within the timeout of 1e-09 s"


def test_what_was_sent_is_kept_until_its_answer_comes() -> None:
    queue = Entries()
    entry = new_entry(60)
    queue.add(entry)
    assert ids(queue.next_message()) == [1]
    entry.deadline = time.monotonic()
    assert queue.take_expired() == ([entry], math.inf)
    assert len(queue) == 1  # the server may still use its memory
    assert queue.futures() == []
    answer = ANSWERS(entries=[Answer(id=1, response=RESPONSE)]).SerializeToString()
    assert queue.take_answers(answer) == []
    assert len(queue) == 0


def test_an_answer_that_nobody_asked_for_is_an_error_of_the_server() -> None:
    queue = Entries()
    queue.add(new_entry())
    queue.next_message()
    answer = ANSWERS(entries=[Answer(id=2, response=RESPONSE)]).SerializeToString()
    with pytest.raises(lossd.LossdError, match="INTERNAL: an answer has the id 2, which no"):
        queue.take_answers(answer)


@pytest.mark.parametrize(("numbers", "stranger"), [((1, 99), 99), ((1, 1), 1)])
def test_a_message_with_a_strange_answer_answers_nothing(
    numbers: tuple[int, ...], stranger: int
) -> None:
    queue, entry = Entries(), new_entry()
    queue.add(entry)
    queue.next_message()
    answer = ANSWERS(entries=[Answer(id=number, response=RESPONSE) for number in numbers])
    with pytest.raises(lossd.LossdError, match=f"has the id {stranger}, which no"):
        queue.take_answers(answer.SerializeToString())
    ended = lossd.LossdError(grpc.StatusCode.UNAVAILABLE, "gone", None)
    assert queue.take_all(ended) == [entry]


def test_messages_are_within_the_bound_of_the_server() -> None:
    queue = Entries()
    queue.take_greeting([("lossd-max-message-bytes", "1000")])
    small = [new_entry(elements=50) for _ in range(5)]  # 400 bytes and a header each
    large = new_entry(elements=1000)
    for entry in (small[0], large, *small[1:]):
        queue.add(entry)
    messages = []
    while message := queue.next_message():
        messages.append(message)
    assert max(map(len, messages)) <= 1000
    assert [number for message in messages for number in ids(message)] == [1, 3, 4, 5, 6]
    assert len(messages) == 3
    [(refused, error)] = queue.take_too_large()
    assert refused is large
    assert error.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "and the server takes 1000 (--max_message_bytes)" in error.message
    assert queue.take_too_large() == []
    assert len(queue) == 5


def test_an_entry_that_was_not_sent_can_be_forgotten() -> None:
    queue, sent, late = Entries(), new_entry(), new_entry(1e-9)
    for entry in (sent, late):
        queue.add(entry)
    assert ids(queue.next_message()) == [sent.number]
    for entry in (sent, late):
        queue.forget(entry)
    assert len(queue) == 1


def test_an_entry_has_the_result_or_the_error_of_its_answer() -> None:
    entry = new_entry()
    assert entry.result(RESPONSE.SerializeToString()).loss == 1.5
    with pytest.raises(lossd.LossdError, match="INTERNAL: the answer has neither"):
        entry.result(None)
    failure = lossd.LossdError(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", 0.5)
    with pytest.raises(lossd.LossdError) as raised:
        entry.result(failure)
    assert raised.value is failure


class KeptMemory:
    """Stands for the references of a call whose gradient goes to a GPU."""

    def __init__(self) -> None:
        self.kept: list[Any] = []

    def keep_for_a_while(self, *outs: Any) -> None:
        self.kept.append(outs)


@pytest.mark.parametrize("sent", [True, False])
def test_memory_that_the_server_may_still_write_stays_allocated(sent: bool) -> None:
    references: Any = KeptMemory()
    entry = new_entry()
    entry.call = entry.call._replace(references=references, gradient_out=ZEROS)
    queue = Entries()
    queue.add(entry)
    if sent:
        queue.next_message()
    error = lossd.LossdError(grpc.StatusCode.UNAVAILABLE, "gone", None)
    assert queue.take_all(error) == [entry]
    assert references.kept == ([(ZEROS, None)] if sent else [])
    assert (len(queue), queue.next_message()) == (0, b"")


def test_memory_of_a_refused_entry_is_not_kept() -> None:
    references: Any = KeptMemory()
    queue = Entries()
    entry = new_entry()
    entry.call = entry.call._replace(references=references)
    queue.add(entry)
    queue.next_message()
    failure = loss_service_pb2.Failure(code=8, message="full")
    queue.take_answers(ANSWERS(entries=[Answer(id=1, failure=failure)]).SerializeToString())
    assert references.kept == []


def test_the_bounds_are_those_of_the_contract() -> None:
    assert entries.MOST_UNANSWERED == 1024
    assert entries.MOST_UNANSWERED_BYTES == 64 << 20
