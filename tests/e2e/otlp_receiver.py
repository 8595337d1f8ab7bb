"""A small OpenTelemetry collector: it takes traces by OTLP/HTTP and keeps them for tests.

Bodies are decoded by OpenTelemetry's own messages, which know each field that lossd may send.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

PATIENCE = 60  # seconds


@dataclass(frozen=True)
class Span:
    """A span, with its attributes and those of its resource as dictionaries."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    start: int  # in nanoseconds since 1970
    end: int
    raw: Any
    attributes: dict[str, str | int]
    resource: dict[str, str | int]


@dataclass(frozen=True)
class Answer:
    """What the receiver does with one request; it keeps the spans of those with status 200."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    partial: ExportTracePartialSuccess | None = None
    after: threading.Event | None = None  # the answer waits for it


class Receiver:
    """Answers as `say` said, and with 200 otherwise."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._answers: deque[Answer] = deque()
        self._spans: list[Span] = []
        self.requests = 0
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}/v1/traces"

    def say(self, *answers: Answer) -> None:
        with self._changed:
            self._answers.extend(answers)

    def take(self, body: bytes) -> Answer:
        spans = _spans(ExportTraceServiceRequest.FromString(body))
        with self._changed:
            answer = self._answers.popleft() if self._answers else Answer()
            self.requests += 1
            if answer.status == 200:
                self._spans += spans
            self._changed.notify_all()
        return answer

    def await_requests(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.requests >= count, PATIENCE)

    def await_spans(self, name: str, count: int = 1) -> list[Span]:
        """Returns all spans, once so many of that name are there."""

        def there() -> bool:
            return sum(span.name == name for span in self._spans) >= count

        with self._changed:
            assert self._changed.wait_for(there, PATIENCE), [span.name for span in self._spans]
            return list(self._spans)


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            assert self.headers["Content-Type"] == "application/x-protobuf"
            answer = receiver.take(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path != "/v1/traces":
                answer = Answer(404)
            if answer.after is not None:
                answer.after.wait(PATIENCE)
            body = ExportTraceServiceResponse(partial_success=answer.partial).SerializeToString()
            with contextlib.suppress(OSError):  # a client that did not wait
                self.send_response(answer.status)
                for key, value in answer.headers.items():
                    self.send_header(key, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def _values(attributes: Any) -> dict[str, str | int]:
    return {
        one.key: one.value.int_value
        if one.value.WhichOneof("value") == "int_value"
        else one.value.string_value
        for one in attributes
    }


def _spans(request: Any) -> list[Span]:
    _expect_known_fields(request)
    return [
        Span(
            span.name,
            span.trace_id.hex(),
            span.span_id.hex(),
            span.parent_span_id.hex(),
            span.start_time_unix_nano,
            span.end_time_unix_nano,
            span,
            _values(span.attributes),
            _values(group.resource.attributes),
        )
        for group in request.resource_spans
        for scope in group.scope_spans
        for span in scope.spans
    ]


def _expect_known_fields(message: Message) -> None:
    """Fails if a field of the message, or of one within it, is not of OpenTelemetry's schema."""
    assert len(UnknownFieldSet(message)) == 0, message
    for descriptor, value in message.ListFields():
        if descriptor.message_type is not None:
            for one in [value] if isinstance(value, Message) else value:
                _expect_known_fields(one)


@contextlib.contextmanager
def otlp_receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    thread = threading.Thread(target=receiver.server.serve_forever)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.server.shutdown()
        receiver.server.server_close()
        thread.join()
