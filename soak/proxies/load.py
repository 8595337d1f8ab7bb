"""Calls through a proxy without a pause, with and without gRPC's retries."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import grpc
import numpy as np

from soak import message

# The service config that the project recommends, without balancing.
CONFIG = Path(__file__).resolve().parents[2] / "client/service_config/service_config.json"
DEADLINE = 300  # seconds, of a call with all its retries
TRIES = 5  # of a caller that sends a request again
# A call that has lost its server ends so, by the choice of the proxy and of the client's gRPC.
BROKEN = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.UNKNOWN,
)
OPTIONS = [
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_reconnect_backoff_ms", 500),
]
PLAIN = [*OPTIONS, ("grpc.enable_retries", 0)]
RETRYING = [
    *OPTIONS,
    ("grpc.service_config", json.dumps(json.loads(CONFIG.read_text()))),
    ("grpc.per_rpc_retry_buffer_size", 64 << 20),
]


def random_request(elements: int) -> bytes:
    """Returns a ComputeLossRequest of random float32 logits and targets, 8 bytes an element."""
    random = np.random.default_rng(elements)

    def tensor(values: np.ndarray) -> bytes:
        shape = message.field(2, message.varint(elements))
        data = message.field(3, values.astype(np.float32).tobytes())
        return message.number(1, message.FLOAT32) + shape + data

    logits, targets = random.normal(0, 3, elements), random.random(elements)
    return message.field(2, tensor(logits)) + message.field(3, tensor(targets))


def result_of(reply: bytes) -> tuple[tuple[int, bytes], ...]:
    """Returns the top fields of a ComputeLossResponse but the one that says how it was computed."""
    return tuple(field for field in message.fields(reply) if field[0] != message.EXECUTION)


class Load:
    """Clients that each send one request after another, from entering the block to leaving it.

    A reply must have the bits of `expected`, a result_of(). With `again`, a client sends a request
    again that has lost its server, as a caller would whose gRPC did not: gRPC sends nothing again
    once a reply has begun. The counts are right after the block.
    """

    def __init__(
        self,
        address: str,
        request: bytes,
        expected: tuple[tuple[int, bytes], ...],
        *,
        clients: int,
        options: Sequence[tuple[str, object]],
        again: bool,
    ) -> None:
        self._address, self._request, self._expected = address, request, expected
        self._options, self._tries = options, TRIES if again else 1
        self._ended = threading.Event()
        self._lock = threading.Lock()  # guards all below
        self.calls = 0
        self.wrong = 0
        self.again: Counter[str] = Counter()  # why a caller sent a request again
        self.codes: Counter[str] = Counter()
        self.texts: dict[str, str] = {}
        self._threads = [threading.Thread(target=self._work) for _ in range(clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    @property
    def lost(self) -> int:
        return self.codes.total() + self.wrong

    def _work(self) -> None:
        with grpc.insecure_channel(self._address, self._options) as channel:
            call = channel.unary_unary(message.COMPUTE)
            while not self._ended.is_set():
                self._ask(call)

    def _ask(self, call: grpc.UnaryUnaryMultiCallable) -> None:
        for left in reversed(range(self._tries)):
            try:
                right = result_of(call(self._request, timeout=DEADLINE)) == self._expected
            except grpc.RpcError as error:
                if self._note(error, left):
                    continue
            else:
                with self._lock:
                    self.calls += 1
                    self.wrong += not right
            return

    def _note(self, error: grpc.RpcError, left: int) -> bool:
        """Counts a failure, and returns whether the caller sends the request again."""
        code = error.code()
        with self._lock:
            if left > 0 and code in BROKEN:
                self.again[code.name] += 1
                return True
            self.calls += 1
            self.codes[code.name] += 1
            self.texts[code.name] = str(error.details())
        return False


def asked_directly(address: str, request: bytes) -> tuple[tuple[int, bytes], ...]:
    """Returns the result that a server gives without a proxy."""
    with grpc.insecure_channel(address, OPTIONS) as channel:
        return result_of(channel.unary_unary(message.COMPUTE)(request, timeout=DEADLINE))
