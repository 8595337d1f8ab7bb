"""Calls with a traceparent, and what a server says of their spans, for tests."""

from __future__ import annotations

import re
import urllib.request
from typing import Any

import grpc
import numpy as np
from lossd import conversion
from lossd.v1 import loss_service_pb2
from running_server import RunningServer

TRACE_ID, PARENT_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = ("traceparent", f"00-{TRACE_ID}-{PARENT_ID}-01")
OTHER_TRACE_ID = "1" * 32
OTHER_SAMPLED = ("traceparent", f"00-{OTHER_TRACE_ID}-{PARENT_ID}-01")
CALL = "lossd.v1.LossService/ComputeLoss"
STREAM = "lossd.v1.LossService/StreamLoss"
SESSION = "lossd.v1.LossService/ComputeLosses"
ENTRY = "ComputeLosses entry"
EXPORTED = "lossd_spans_exported_total"
SECONDS = 60


def request(elements: int = 3, target: float = 1, request_id: str = "") -> Any:
    made = loss_service_pb2.ComputeLossRequest(request_id=request_id)
    for tensor, value in ((made.logits, 0.5), (made.targets, target)):
        tensor.shape.append(elements)
        tensor.data = np.full(elements, value, np.float32).tobytes()
    return made


def call(server: RunningServer, *metadata: tuple[str, str], **arguments: Any) -> None:
    with grpc.insecure_channel(server.address) as channel:
        compute = channel.unary_unary(conversion.COMPUTE_LOSS)
        compute(request(**arguments).SerializeToString(), metadata=metadata, timeout=SECONDS)


def stream(server: RunningServer, method: str, messages: Any, *metadata: tuple[str, str]) -> None:
    with grpc.insecure_channel(server.address) as channel:
        for _ in channel.stream_stream(method)(messages, metadata=metadata, timeout=SECONDS):
            pass


def await_metric(server: RunningServer, name: str, least: float) -> None:
    """Waits for a count that follows the collector's answer; fails after 5,000 scrapes."""
    for _ in range(5000):
        with urllib.request.urlopen(f"http://{server.metrics}/metrics", timeout=SECONDS) as page:
            text = page.read().decode()
        found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
        assert found, f"no {name}"
        if float(found[1]) >= least:
            return
    raise AssertionError(f"{name} is not {least}")


def dropped(reason: str) -> str:
    """Returns the name of a count of dropped spans."""
    return f'lossd_spans_dropped_total{{reason="{reason}"}}'
