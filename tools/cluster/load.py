"""Calls the servers of a cluster by name without pause, as gRPC's own clients do."""

from __future__ import annotations

import collections
import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import numpy as np
from lossd.v1 import loss_service_pb2, tensor_pb2

SERVICE_CONFIG = Path("soak/clients/service_config.json")
THREADS = 4
ELEMENTS = 4096
DEADLINE = 60  # seconds for a call with all of its retries


def request() -> bytes:
    logits = np.linspace(-8, 8, ELEMENTS, dtype=np.float32)
    targets = (logits > 0).astype(np.float32)
    tensors = [
        tensor_pb2.Tensor(
            dtype=tensor_pb2.DATA_TYPE_FLOAT32, shape=[ELEMENTS], data=values.tobytes()
        )
        for values in (logits, targets)
    ]
    message = loss_service_pb2.ComputeLossRequest(logits=tensors[0], targets=tensors[1])
    return message.SerializeToString()


def gradient_of(reply: bytes) -> bytes:
    return loss_service_pb2.ComputeLossResponse.FromString(reply).gradient.data


@dataclass
class Counts:
    """How the calls of a load ended."""

    codes: collections.Counter[str] = field(default_factory=collections.Counter)
    first_error: str = ""
    other_bits: int = 0  # replies whose gradient is not that of the first one

    @property
    def lost(self) -> int:
        return sum(self.codes.values()) - self.codes["OK"] + self.other_bits

    @property
    def calls(self) -> int:
        return sum(self.codes.values())


class Load:
    """Runs from its construction to stop(). Thread-safe."""

    def __init__(self, target: str) -> None:
        self.counts = Counts()
        self._request = request()
        self._gradient: bytes | None = None
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        config = json.loads(SERVICE_CONFIG.read_text())
        self._channel = grpc.insecure_channel(
            target, options=[("grpc.service_config", json.dumps(config))]
        )
        self._call = self._channel.unary_unary("/lossd.v1.LossService/ComputeLoss")
        self._threads = [threading.Thread(target=self._run) for _ in range(THREADS)]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._count_reply(self._call(self._request, timeout=DEADLINE))
            except grpc.RpcError as why:
                self._count_error(why.code().name, why.details())

    def _count_reply(self, reply: bytes) -> None:
        gradient = gradient_of(reply)
        with self._lock:
            self.counts.codes["OK"] += 1
            if self._gradient is None:
                self._gradient = gradient
            self.counts.other_bits += gradient != self._gradient

    def _count_error(self, code: str, details: str) -> None:
        with self._lock:
            self.counts.codes[code] += 1
            self.counts.first_error = self.counts.first_error or f"{code}: {details}"

    def stop(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()
        self._channel.close()


@contextlib.contextmanager
def load(target: str) -> Iterator[Counts]:
    running = Load(target)
    try:
        yield running.counts
    finally:
        running.stop()
