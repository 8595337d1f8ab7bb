"""Requests as files, each beside how its reply must begin and end, for clients to send again."""

from __future__ import annotations

from pathlib import Path

import grpc
import numpy as np
from lossd.v1 import loss_service_pb2, loss_spec_pb2, tensor_pb2

from soak import message

LOSSES = (
    loss_spec_pb2.LossSpec(kind="LOSS_KIND_SIGMOID_CROSS_ENTROPY", label_smoothing=0.1),
    loss_spec_pb2.LossSpec(kind="LOSS_KIND_SIGMOID_FOCAL", focal_gamma=2.0, focal_alpha=0.25),
    loss_spec_pb2.LossSpec(kind="LOSS_KIND_ASYMMETRIC", asymmetric_gamma_negative=4.0),
    loss_spec_pb2.LossSpec(kind="LOSS_KIND_POLY", poly_epsilon=1.0),
)
REDUCTIONS = ("MEAN", "SUM", "NONE")
# The most elements of most requests. Every tenth has up to LARGE, which is sent in several frames.
SMALL, LARGE = 4_000, 120_000
DEADLINE = 60  # seconds


def write_one(folder: Path, address: str) -> None:
    """Writes one small request, whose loss is checked against arithmetic of our own."""
    with grpc.insecure_channel(address) as channel:
        reply = _call(channel, message.small_request())
    loss = message.loss_of(reply)
    if abs(loss - message.small_loss()) > 1e-6:
        raise RuntimeError(f"the server computed {loss}, not {message.small_loss()}")
    _write(folder, 0, message.small_request(), *around_execution(reply))


def write_random(folder: Path, address: str, count: int) -> None:
    """Writes `count` requests of random sizes, kinds and element types, the same in every run."""
    with grpc.insecure_channel(address) as channel:
        for number in range(count):
            request = random_request(number).SerializeToString()
            replies = [_call(channel, request) for _ in range(2)]
            ends = {around_execution(reply) for reply in replies}
            if len(ends) > 1:
                raise RuntimeError(f"two replies to request {number} differ")
            _write(folder, number, request, *ends.pop())


def around_execution(reply: bytes) -> tuple[bytes, bytes]:
    """Returns what a reply says before and after how it was computed."""
    numbers, fields = zip(*message.fields(reply), strict=True)
    place = numbers.index(message.EXECUTION)
    return b"".join(fields[:place]), b"".join(fields[place + 1 :])


def random_request(number: int) -> loss_service_pb2.ComputeLossRequest:
    random = np.random.default_rng(number)
    largest = LARGE if number % 10 == 9 else SMALL
    elements = int(np.exp(random.uniform(0, np.log(largest))))
    logits = random.normal(0, 4, elements)
    wide = random.random() < 0.2
    hard = random.random() < 0.5
    spec = loss_spec_pb2.LossSpec(reduction=f"REDUCTION_{random.choice(REDUCTIONS)}")
    spec.MergeFrom(LOSSES[number % len(LOSSES)])
    return loss_service_pb2.ComputeLossRequest(
        spec=spec,
        logits=_tensor("FLOAT64" if wide else "FLOAT32", logits.astype("<f8" if wide else "<f4")),
        targets=_tensor("UINT8", (random.random(elements) < 0.3).astype(np.uint8))
        if hard
        else _tensor("FLOAT32", random.random(elements).astype("<f4")),
    )


def _tensor(name: str, values: np.ndarray) -> tensor_pb2.Tensor:
    return tensor_pb2.Tensor(dtype=f"DATA_TYPE_{name}", shape=[len(values)], data=values.tobytes())


def _call(channel: grpc.Channel, request: bytes) -> bytes:
    reply: bytes = channel.unary_unary(message.COMPUTE)(request, timeout=DEADLINE)
    return reply


def _write(folder: Path, number: int, request: bytes, start: bytes, end: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{number}.request").write_bytes(request)
    (folder / f"{number}.start").write_bytes(start)
    (folder / f"{number}.end").write_bytes(end)
