"""Lists what ./dev bench measures: each name with its peer and its goal."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import in_process
from connection_rate import connections_per_second
from fleet_measurements import FLEET_MEASUREMENTS
from job_measurements import JOB_MEASUREMENTS
from kernel_measurements import KERNEL_MEASUREMENTS
from measurement import MEBI, Effort, Measurement, Result, alternate
from memory_measurements import MEMORY_MEASUREMENTS
from overload import overload
from peer_measurements import (
    narrow_and_float32,
    unary_and_protobuf_echo,
    unary_and_triton,
)
from programs import Programs
from proxy_measurements import PROXY_MEASUREMENTS
from python_measurements import PYTHON_MEASUREMENTS
from session_measurements import SESSION_MEASUREMENTS
from torch_module import TORCH_MEASUREMENTS
from tracing_measurements import TRACING_MEASUREMENTS
from tree_objective import TREE_MEASUREMENTS


def unary(elements: int, concurrency: int) -> Callable[[str, Programs, Effort], Result]:
    def run(name: str, programs: Programs, effort: Effort) -> Result:
        load = {
            "elements": elements,
            "concurrency": concurrency,
            "threads": 1 if concurrency == 1 else 2,
            "duration": f"{effort.seconds}s",
            "warmup": f"{effort.seconds / 4}s",
        }
        with programs.lossd() as lossd:
            sizes = programs.load(lossd, {"elements": elements, "requests": 10, "warmup": "0s"})
            reply = sizes["reply_bytes"]
            with programs.echo(reply) as echo:
                ours, peer = alternate(
                    effort.rounds,
                    lambda: float(programs.load(lossd, load)["requests_per_second"]),
                    lambda: float(programs.load(echo, load, peer="echo")["requests_per_second"]),
                )
        what = (
            f"ComputeLoss of {elements} float32 elements at concurrency {concurrency} over TCP; "
            f"peer: an echo of raw ByteBuffers that receives the same {sizes['request_bytes']} "
            f"bytes and answers with the first {reply} of them, as many as lossd's reply has; "
            f"same client, one connection, {programs.server_threads} RPC threads each"
        )
        return Result(name, ours, peer, ours / peer, "requests/s", what)

    return run


def connections(name: str, programs: Programs, effort: Effort) -> Result:
    with programs.lossd() as lossd, programs.echo(0) as echo:
        ours, peer = alternate(
            effort.rounds,
            lambda: connections_per_second(lossd.target, effort.seconds),
            lambda: connections_per_second(echo.target, effort.seconds),
        )
    what = (
        "connections over TCP, 32 opened at a time and closed when the server has sent its first "
        "frame; peer: an echo whose connections gRPC accepts; same client, "
        f"{programs.server_threads} RPC threads each"
    )
    return Result(name, ours, peer, ours / peer, "connections/s", what)


def stream_and_unary(name: str, programs: Programs, effort: Effort) -> Result:
    common = {
        "duration": f"{effort.seconds}s",
        "warmup": f"{effort.seconds / 4}s",
    }
    unary_load = {**common, "elements": MEBI, "concurrency": 4, "threads": 2}
    stream_load = {**common, "elements": 64 * MEBI, "stream": "true"}
    with programs.lossd() as lossd:
        ours, peer = alternate(
            effort.rounds,
            lambda: float(programs.load(lossd, stream_load)["elements_per_second"]),
            lambda: float(programs.load(lossd, unary_load)["elements_per_second"]),
        )
    what = (
        "one StreamLoss of 67108864 float32 elements at a time over TCP; peer: ComputeLoss of "
        "1048576 elements at concurrency 4, one connection each"
    )
    return Result(name, ours, peer, ours / peer, "elements/s", what)


def small_open_loop(name: str, programs: Programs, effort: Effort) -> Result:
    small = {"elements": 64, "threads": 2, "duration": f"{effort.seconds}s"}
    with programs.lossd() as lossd:
        report = programs.load(lossd, {**small, "concurrency": 64})
        full = float(report["requests_per_second"])
        load = {**small, "rate": full / 2, "concurrency": 1024}
        with programs.echo(report["reply_bytes"]) as echo:
            ours, peer = alternate(
                effort.rounds,
                lambda: float(programs.load(lossd, load)["latency_us"]["p99"]),
                lambda: float(programs.load(echo, load, peer="echo")["latency_us"]["p99"]),
            )
    what = (
        f"99th percentile of the latency, from the intended start, of Poisson arrivals of requests "
        f"of 64 elements at {full / 2:.0f} a second, half of lossd's rate at concurrency 64; "
        "peer: the echo at the same rate (smaller is better)"
    )
    return Result(name, ours, peer, ours / peer, "us", what)


def polite_beside_greedy(name: str, programs: Programs, effort: Effort) -> Result:
    greedy_load = {
        "elements": 65536,
        "dtype": "bfloat16",
        "targets_dtype": "bit",
        "concurrency": 2000,
        "duration": f"{effort.seconds + 2}s",
        "warmup": "0s",
    }
    # The polite client runs an open loop, so that it also asks while the queue is long.
    polite_load = {
        "elements": 64,
        "rate": 300,
        "concurrency": 1000,
        "duration": f"{effort.seconds}s",
        "warmup": "1s",
    }
    pairs = []
    # One executor and no inline requests make the batcher decide who is served next.
    with programs.lossd("--cpu_threads=1", "--max_inline_elements=0") as lossd:
        for _ in range(effort.rounds):
            with ThreadPoolExecutor(max_workers=1) as other:
                greedy = other.submit(programs.load, lossd, greedy_load)
                polite = programs.load(lossd, polite_load)
                pairs.append([run["latency_us"]["p50"] for run in (polite, greedy.result())])
    ours, peer = (statistics.median(side) for side in zip(*pairs, strict=True))
    what = (
        "median latency of 300 requests a second of 64 elements while another connection keeps "
        "2000 of 65536 in flight, one executor; peer: the other's own median, which is what "
        "everyone would wait in one common queue (smaller is better)"
    )
    return Result(name, ours, peer, ours / peer, "us", what)


def shared_memory(
    concurrency: int,
    peer_what: Callable[[], str],
    peer_rate: Callable[[Programs, int, float], float],
) -> Callable[[str, Programs, Effort], Result]:
    def run(name: str, programs: Programs, effort: Effort) -> Result:
        elements = MEBI
        with tempfile.TemporaryDirectory() as folder:
            socket = f"{folder}/lossd"
            load = {
                "elements": elements,
                "concurrency": concurrency,
                "shared_memory": socket,
                "duration": f"{effort.seconds}s",
                "warmup": f"{effort.seconds / 4}s",
            }
            with programs.lossd(f"--shared_memory_socket={socket}") as lossd:
                ours, peer = alternate(
                    effort.rounds,
                    lambda: elements * float(programs.load(lossd, load)["requests_per_second"]),
                    lambda: peer_rate(programs, elements, effort.seconds / 2),
                )
        what = (
            f"ComputeLoss of {elements} float32 elements at concurrency {concurrency}, tensors and "
            f"gradient in shared memory, messages over TCP; peer: {peer_what()}"
        )
        return Result(name, ours, peer, ours / peer, "elements/s", what)

    return run


MEASUREMENTS: dict[str, Measurement] = {
    **KERNEL_MEASUREMENTS,
    "unary_64_c1_vs_echo": Measurement(0.9, unary(64, 1)),
    "unary_64_c64_vs_echo": Measurement(0.9, unary(64, 64)),
    "unary_1Mi_c1_vs_echo": Measurement(0.9, unary(1 << 20, 1)),
    "unary_1Mi_c4_vs_echo": Measurement(0.9, unary(1 << 20, 4)),
    "connections_vs_grpc": Measurement(1.0, connections),
    "unary_1Mi_c4_vs_protobuf_echo": Measurement(1.2, unary_and_protobuf_echo(MEBI, 4)),
    "bf16_bit_vs_f32_tcp": Measurement(2.2, narrow_and_float32("bfloat16", MEBI, 4)),
    "float8_bit_vs_f32_tcp": Measurement(4.0, narrow_and_float32("float8_e4m3fn", MEBI, 4)),
    **SESSION_MEASUREMENTS,
    **PROXY_MEASUREMENTS,
    "unary_64_c64_vs_triton": Measurement(3.0, unary_and_triton(64, 64)),
    "vs_triton_1Mi_c4": Measurement(3.0, unary_and_triton(MEBI, 4)),
    "stream_vs_unary": Measurement(0.95, stream_and_unary),
    "small_open_loop_p99_at_half_load": Measurement(None, small_open_loop),
    "overload_3x_in_time_vs_peak": Measurement(0.9, overload(3, 65536)),
    "overload_10x_in_time_vs_peak": Measurement(0.9, overload(10, 65536)),
    "overload_3x_1Mi_in_time_vs_peak": Measurement(0.9, overload(3, MEBI)),
    "overload_10x_1Mi_in_time_vs_peak": Measurement(0.9, overload(10, MEBI)),
    "polite_p50_beside_greedy": Measurement(None, polite_beside_greedy),
    "shm_1Mi_c1_vs_kernel": Measurement(
        0.7,
        shared_memory(
            1,
            lambda: "the kernel alone, one thread",
            lambda programs, elements, seconds: programs.kernel_rate(
                f"f32_gradient/{elements}", seconds
            ),
        ),
    ),
    "shm_1Mi_c4_vs_kernel": Measurement(
        0.9,
        shared_memory(
            4,
            lambda: "the kernel alone on two threads, each with half of as many elements",
            lambda programs, elements, seconds: programs.kernel_rate(
                f"f32_gradient_halves/{elements}", seconds
            ),
        ),
    ),
    "shm_1Mi_vs_pytorch_inprocess": Measurement(
        2.5,
        shared_memory(
            4,
            lambda: (
                f"{in_process.CROSS_ENTROPY.what}, PyTorch {in_process.version()}, eager forward "
                "and backward in process, two threads"
            ),
            lambda programs, elements, seconds: programs.peer_rate(
                in_process.CROSS_ENTROPY, elements, seconds, threads=2
            ),
        ),
    ),
    **MEMORY_MEASUREMENTS,
    **PYTHON_MEASUREMENTS,
    **FLEET_MEASUREMENTS,
    **TRACING_MEASUREMENTS,
    **JOB_MEASUREMENTS,
    **TORCH_MEASUREMENTS,
    **TREE_MEASUREMENTS,
}
