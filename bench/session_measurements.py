"""Measures many requests over one stream (ComputeLosses) against calls of their own."""

from __future__ import annotations

from collections.abc import Callable

import in_process
import triton_peer
from measurement import Effort, Measurement, Result, alternate
from peer_measurements import closed_loop
from programs import Programs
from started_server import Server

Run = Callable[[str, Programs, Effort], Result]


def session_and_unary_echo(elements: int, outstanding: int) -> Run:
    def run(name: str, programs: Programs, effort: Effort) -> Result:
        load = closed_loop(elements, outstanding, effort)
        with programs.lossd() as lossd:
            sizes = programs.load(lossd, {"elements": elements, "requests": 10, "warmup": "0s"})
            with programs.echo(sizes["reply_bytes"]) as echo:
                ours, peer = alternate(
                    effort.rounds,
                    lambda: _session_rate(programs, lossd, load),
                    lambda: float(programs.load(echo, load, peer="echo")["requests_per_second"]),
                )
        what = (
            f"requests of {elements} float32 elements in one session of the C++ client, "
            f"{outstanding} outstanding, over TCP; peer: a unary echo of raw ByteBuffers that "
            "receives as many bytes as lossd and answers with as many, at concurrency "
            f"{outstanding}; one connection, {programs.server_threads} RPC threads each"
        )
        return Result(name, ours, peer, ours / peer, "requests/s", what)

    return run


def session_and_triton(elements: int, outstanding: int) -> Run:
    def run(name: str, programs: Programs, effort: Effort) -> Result:
        load = closed_loop(elements, outstanding, effort)
        with programs.lossd() as lossd, programs.triton() as other:
            ours, theirs = alternate(
                effort.rounds,
                lambda: _session_rate(programs, lossd, load),
                lambda: float(programs.load(other, load, peer="triton")["requests_per_second"]),
            )
        what = (
            f"loss and gradient of {elements} float32 elements in one session of the C++ client, "
            f"{outstanding} outstanding, over TCP; peer: NVIDIA Triton (nvidia-pytriton "
            f"{triton_peer.version(programs.triton_venv)}) on the CPU, Python backend with two "
            f"instances of one thread, dynamic batching, {in_process.CROSS_ENTROPY.what} by "
            f"PyTorch {in_process.version()}, asked by unary calls (ModelInfer) with raw contents "
            f"at concurrency {outstanding}, one connection; Triton's own stream "
            "(ModelStreamInfer) is not measured"
        )
        return Result(name, ours, theirs, ours / theirs, "requests/s", what)

    return run


def _session_rate(programs: Programs, lossd: Server, load: dict[str, object]) -> float:
    return float(programs.load(lossd, {**load, "session": "true"})["requests_per_second"])


SESSION_MEASUREMENTS: dict[str, Measurement] = {
    "session_64_c64_vs_unary_echo": Measurement(4.0, session_and_unary_echo(64, 64)),
    "session_64_c1_vs_unary_echo": Measurement(1.35, session_and_unary_echo(64, 1)),
    "vs_triton_64_c64": Measurement(15.0, session_and_triton(64, 64)),
}
