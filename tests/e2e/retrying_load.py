"""Loads servers through grpcio with the usual retry policy, and counts how calls end."""

from __future__ import annotations

import collections
import contextlib
import json
import threading
from collections.abc import Iterator, Sequence

import grpc
import numpy as np
from lossd.v1 import loss_service_pb2, tensor_pb2

DEADLINE = 60  # seconds for a call with all of its retries

# Retries UNAVAILABLE alone, as examples of gRPC's retries do, and takes servers in turns.
SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {
            "name": [{"service": "lossd.v1.LossService"}],
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.1s",
                "maxBackoff": "1s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
}


def small_request(elements: int = 64) -> bytes:
    """Returns a ComputeLossRequest of zeros as bytes."""
    tensor = tensor_pb2.Tensor(
        dtype=tensor_pb2.DATA_TYPE_FLOAT32,
        shape=[elements],
        data=np.zeros(elements, np.float32).tobytes(),
    )
    request = loss_service_pb2.ComputeLossRequest(logits=tensor, targets=tensor)
    return request.SerializeToString()


class RetryingLoad:
    """Calls ComputeLoss from several threads without pause until stop()."""

    def __init__(self, target: str, threads: int, request: bytes) -> None:
        self.codes: collections.Counter[str] = collections.Counter()
        self.errors: list[str] = []
        self._request = request
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        options = (
            ("grpc.service_config", json.dumps(SERVICE_CONFIG)),
            ("grpc.use_local_subchannel_pool", 1),
            # Larger requests than this are not retried.
            ("grpc.per_rpc_retry_buffer_size", 64 << 20),
            # A server is looked for again this soon after it was gone.
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 100),
        )
        self._channel = grpc.insecure_channel(target, options)
        self._call = self._channel.unary_unary("/lossd.v1.LossService/ComputeLoss")
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._call(self._request, timeout=DEADLINE)
                code, error = "OK", None
            except grpc.RpcError as why:
                code, error = why.code().name, why.details()
            with self._lock:
                self.codes[code] += 1
                if error is not None:
                    self.errors.append(f"{code}: {error}")

    def calls(self) -> int:
        with self._lock:
            return sum(self.codes.values())

    def stop(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()
        self._channel.close()


@contextlib.contextmanager
def retrying_load(
    addresses: Sequence[str], threads: int = 8, elements: int = 64
) -> Iterator[RetryingLoad]:
    """Runs a load on servers, each HOST:PORT of IPv4, and stops it at the end."""
    load = RetryingLoad("ipv4:" + ",".join(addresses), threads, small_request(elements))
    try:
        yield load
    finally:
        load.stop()
