"""A server that answers by the behaviors that a test gives it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc

Behavior = Callable[[Iterator[bytes], grpc.ServicerContext], Iterable[bytes]]


def greets(behavior: Behavior) -> Behavior:
    """Has headers sent at once, as lossd does."""

    def greeting(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterable[bytes]:
        context.send_initial_metadata(())
        yield from behavior(requests, context)

    return greeting


class StandIn:
    """Serves each stream by the next of its behaviors, the last one for good."""

    def __init__(self, *behaviors: Behavior) -> None:
        self.streams = 0
        self.calls = 0
        self._behaviors = behaviors
        self.address = ""

    def losses(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterable[bytes]:
        behavior = self._behaviors[min(self.streams, len(self._behaviors) - 1)]
        self.streams += 1
        yield from behavior(requests, context)

    def loss(self, _: bytes, context: grpc.ServicerContext) -> bytes:
        self.calls += 1
        context.abort(grpc.StatusCode.UNAVAILABLE, "never")
        return b""


@contextlib.contextmanager
def standing_in(*behaviors: Behavior) -> Iterator[StandIn]:
    stand_in = StandIn(*behaviors)
    handlers = {
        "ComputeLosses": grpc.stream_stream_rpc_method_handler(stand_in.losses),
        "StreamLoss": grpc.stream_stream_rpc_method_handler(stand_in.losses),
        "ComputeLoss": grpc.unary_unary_rpc_method_handler(stand_in.loss),
    }
    with ThreadPoolExecutor(16) as threads:
        server = grpc.server(threads)
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("lossd.v1.LossService", handlers),)
        )
        stand_in.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        yield stand_in
        server.stop(None).wait()
