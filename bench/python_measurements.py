"""Measures the Python client against its transport, its past, PyTorch and the C++ client."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import in_process
from measurement import MEBI, Effort, Measurement, Result, alternate
from programs import Programs
from started_server import PeerMissing

Run = Callable[[str, Programs, Effort], Result]

LOAD = Path(__file__).with_name("python_load.py")
# ./dev bench installs there the client of the commit 7f199e9, whose messages held the tensors.
BASELINE = Path("build/venv-baseline/bin/python")

BARE = "gRPC's own Python API, which sends the same bytes again and again and reads no reply"

ASKED = {
    "client": "compute_loss()",
    "aio": "compute_loss()",
    "session": "Session.submit()",
    "aio_session": "AsyncSession.compute_loss()",
}


def rate(effort: Effort, target: str, python: str = sys.executable, **options: object) -> float:
    """Returns the elements per second of python_load.py."""
    command = [python, str(LOAD), f"--target={target}", f"--seconds={effort.seconds}"]
    command += [f"--{name}={value}" for name, value in options.items()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return float(done.stdout)


def against_bare(mode: str, peer_mode: str, elements: int, concurrency: int) -> Run:
    def run(name: str, programs: Programs, effort: Effort) -> Result:
        load = {"elements": elements, "concurrency": concurrency}
        with programs.lossd() as lossd:
            ours, peer = alternate(
                effort.rounds,
                lambda: rate(effort, lossd.target, mode=mode, **load) / elements,
                lambda: rate(effort, lossd.target, mode=peer_mode, **load) / elements,
            )
        what = (
            f"{ASKED[mode]} of {elements} float32 elements from Python at concurrency "
            f"{concurrency} over TCP; peer: {BARE}, to the same server"
        )
        return Result(name, ours, peer, ours / peer, "requests/s", what)

    return run


def against_baseline(name: str, programs: Programs, effort: Effort) -> Result:
    if not BASELINE.exists():
        raise PeerMissing(f"no {BASELINE}")
    with programs.lossd() as lossd:
        ours, peer = alternate(
            effort.rounds,
            lambda: rate(effort, lossd.target, elements=MEBI) / MEBI,
            lambda: rate(effort, lossd.target, str(BASELINE), elements=MEBI) / MEBI,
        )
    what = (
        f"compute_loss() of {MEBI} float32 elements from Python at concurrency 1 over TCP; peer: "
        "the client of the commit 7f199e9, to the same server"
    )
    return Result(name, ours, peer, ours / peer, "requests/s", what)


def shared_memory_and_pytorch(name: str, programs: Programs, effort: Effort) -> Result:
    with tempfile.TemporaryDirectory() as folder:
        socket = f"{folder}/lossd"
        with programs.lossd(f"--shared_memory_socket={socket}") as lossd:
            load = {"mode": "shared_memory", "shared_memory": socket, "elements": MEBI}
            ours, peer = alternate(
                effort.rounds,
                lambda: rate(effort, lossd.target, concurrency=2, **load),
                lambda: programs.peer_rate(
                    in_process.CROSS_ENTROPY, MEBI, effort.seconds / 2, threads=2
                ),
            )
    what = (
        f"compute_loss() of {MEBI} float32 elements from two Python threads, tensors and gradient "
        f"in shared memory; peer: {in_process.CROSS_ENTROPY.what}, PyTorch "
        f"{in_process.version()}, eager forward and backward in process, two threads"
    )
    return Result(name, ours, peer, ours / peer, "elements/s", what)


def shared_memory_and_tcp(name: str, programs: Programs, effort: Effort) -> Result:
    with tempfile.TemporaryDirectory() as folder:
        socket = f"{folder}/lossd"
        with programs.lossd(f"--shared_memory_socket={socket}") as lossd:
            ours, peer = alternate(
                effort.rounds,
                lambda: rate(effort, lossd.target, mode="shared_memory", shared_memory=socket) / 64,
                lambda: rate(effort, lossd.target) / 64,
            )
    what = (
        "compute_loss() of 64 float32 elements from Python at concurrency 1, tensors and gradient "
        "in shared memory; peer: the same with the tensors in the messages"
    )
    return Result(name, ours, peer, ours / peer, "requests/s", what)


def stream_and_cpp(name: str, programs: Programs, effort: Effort) -> Result:
    elements = 64 * MEBI
    load = {
        "elements": elements,
        "stream": "true",
        "duration": f"{effort.seconds}s",
        "warmup": f"{effort.seconds / 4}s",
    }
    with programs.lossd() as lossd:
        ours, peer = alternate(
            effort.rounds,
            lambda: rate(effort, lossd.target, elements=elements),
            lambda: float(programs.load(lossd, load)["elements_per_second"]),
        )
    what = (
        f"one StreamLoss of {elements} float32 elements at a time from Python over TCP; peer: the "
        "C++ client"
    )
    return Result(name, ours, peer, ours / peer, "elements/s", what)


PYTHON_MEASUREMENTS: dict[str, Measurement] = {
    "python_64_c1_vs_bare_grpcio": Measurement(0.85, against_bare("client", "bare", 64, 1)),
    "python_64Ki_c1_vs_bare_grpcio": Measurement(0.85, against_bare("client", "bare", 64 << 10, 1)),
    "python_1Mi_c1_vs_bare_grpcio": Measurement(0.85, against_bare("client", "bare", MEBI, 1)),
    "python_aio_64_c64_vs_bare_grpc_aio": Measurement(
        0.85, against_bare("aio", "bare_aio", 64, 64)
    ),
    "python_session_64_c64_vs_bare_grpcio": Measurement(
        3.0, against_bare("session", "bare", 64, 64)
    ),
    "python_aio_session_64_c64_vs_bare_grpc_aio": Measurement(
        2.0, against_bare("aio_session", "bare_aio", 64, 64)
    ),
    "python_1Mi_c1_vs_baseline": Measurement(2.5, against_baseline),
    "python_shm_1Mi_vs_pytorch_inprocess": Measurement(3.0, shared_memory_and_pytorch),
    "python_shm_64_vs_python_64": Measurement(1.0, shared_memory_and_tcp),
    "python_stream_64Mi_vs_cpp": Measurement(0.8, stream_and_cpp),
}
