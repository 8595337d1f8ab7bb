"""Measures the service against other services, and against itself in another type."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytorch_peer
import triton_peer
from measurement import Effort, Result, alternate
from programs import Programs
from started_server import Server

Run = Callable[[str, Programs, Effort], Result]


def closed_loop(elements: int, concurrency: int, effort: Effort) -> dict[str, object]:
    return {
        "elements": elements,
        "concurrency": concurrency,
        "threads": 1 if concurrency == 1 else 2,
        "duration": f"{effort.seconds}s",
        "warmup": f"{effort.seconds / 4}s",
    }


def _against(
    peer: str,
    serve: Callable[[Programs], AbstractContextManager[Server]],
    elements: int,
    concurrency: int,
    what: Callable[[Programs], str],
) -> Run:
    """Measures requests per second of two servers: one loop calls each by its own protocol."""

    def run(name: str, programs: Programs, effort: Effort) -> Result:
        load = closed_loop(elements, concurrency, effort)
        with programs.lossd() as lossd, serve(programs) as other:
            ours, theirs = alternate(
                effort.rounds,
                lambda: float(programs.load(lossd, load)["requests_per_second"]),
                lambda: float(programs.load(other, load, peer=peer)["requests_per_second"]),
            )
        return Result(name, ours, theirs, ours / theirs, "requests/s", what(programs))

    return run


def unary_and_protobuf_echo(elements: int, concurrency: int) -> Run:
    return _against(
        "protobuf_echo",
        Programs.protobuf_echo,
        elements,
        concurrency,
        lambda programs: (
            f"ComputeLoss of {elements} float32 elements at concurrency {concurrency} over TCP; "
            "peer: an asynchronous server with generated messages that answers with a copy of the "
            "logits, as many bytes as lossd's gradient, and computes nothing; same client, one "
            f"connection, {programs.server_threads} RPC threads each"
        ),
    )


def unary_and_triton(elements: int, concurrency: int) -> Run:
    return _against(
        "triton",
        Programs.triton,
        elements,
        concurrency,
        lambda programs: (
            f"loss and gradient of {elements} float32 elements at concurrency {concurrency} over "
            f"TCP; peer: NVIDIA Triton (nvidia-pytriton {triton_peer.version(programs.triton_venv)}"
            ") on the CPU, Python backend with two instances of one thread, dynamic batching, "
            f"{pytorch_peer.CROSS_ENTROPY.what} by PyTorch {pytorch_peer.version()}, asked with "
            "raw contents by the same client, one connection"
        ),
    )


def narrow_and_float32(dtype: str, elements: int, concurrency: int) -> Run:
    def run(name: str, programs: Programs, effort: Effort) -> Result:
        float32 = closed_loop(elements, concurrency, effort)
        narrow = {**float32, "dtype": dtype, "targets_dtype": "bit"}
        with programs.lossd() as lossd:
            ours, peer = alternate(
                effort.rounds,
                lambda: float(programs.load(lossd, narrow)["elements_per_second"]),
                lambda: float(programs.load(lossd, float32)["elements_per_second"]),
            )
        what = (
            f"ComputeLoss of {elements} {dtype} logits and bit targets to a {dtype} gradient at "
            f"concurrency {concurrency} over TCP; peer: the same server with float32 logits, "
            "targets and gradient"
        )
        return Result(name, ours, peer, ours / peer, "elements/s", what)

    return run
