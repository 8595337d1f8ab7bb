"""Starts the service's peer: NVIDIA Triton, whose Python backend calls PyTorch on the CPU."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from started_server import PeerMissing, Server, Transcript, stop

MODEL = Path(__file__).parent / "peers" / "triton_model"
MODEL_NAME = "cross_entropy"
STARTED = "Started GRPCInferenceService"
SECONDS_TO_START = 60.0


def version(venv: Path) -> str:
    """Returns the version of the package that contains Triton; PeerMissing without it."""
    found = list(venv.glob("lib/python*/site-packages/nvidia_pytriton-*.dist-info"))
    if not found:
        raise PeerMissing(f"no Triton server in {venv} (tools/setup.sh: need_triton)")
    return found[0].name.removeprefix("nvidia_pytriton-").removesuffix(".dist-info")


@contextlib.contextmanager
def serve(venv: Path, work_dir: Path) -> Iterator[Server]:
    """Runs Triton with peers/triton_model until the block ends; it logs to triton.log."""
    version(venv)
    home = next(venv.resolve().glob("lib/python*/site-packages/pytriton/tritonserver"))
    _add_interpreter(home)
    port = _free_port()
    command = [
        str(home / "bin" / "tritonserver"),
        f"--model-repository={_repository(work_dir.resolve() / 'triton_models')}",
        f"--backend-directory={home / 'backends'}",
        "--disable-auto-complete-config",
        "--allow-http=false",
        "--allow-metrics=false",
        "--grpc-address=127.0.0.1",
        f"--grpc-port={port}",
    ]
    # Triton uses this process's PyTorch, so that both peers have one version.
    environment = {**os.environ, "BENCH_SITE_PACKAGES": str(_site_packages())}
    log = work_dir / "triton.log"
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment
    )
    assert process.stdout is not None
    transcript = Transcript(process.stdout, log, STARTED)
    try:
        if not transcript.wait_for_words(SECONDS_TO_START):
            raise PeerMissing(f"Triton did not start: see {log}")
        yield Server(f"127.0.0.1:{port}", process.pid)
    finally:
        stop(process)
        transcript.wait_for_end(SECONDS_TO_START)


def _site_packages() -> Path:
    """Returns the folder with this process's PyTorch; PeerMissing without one."""
    torch = importlib.util.find_spec("torch")
    if torch is None or torch.origin is None:
        raise PeerMissing("torch is not installed")
    return Path(torch.origin).parents[1]


def _repository(folder: Path) -> Path:
    """Makes a model repository with our one model: Triton loads every folder in it."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(MODEL, folder / MODEL_NAME)
    return folder


def _add_interpreter(home: Path) -> None:
    """Links the stub for this Python version into the folder where the backend looks for it."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = home / "python_backend_stubs" / python / "triton_python_backend_stub"
    if not stub.exists():
        raise PeerMissing(f"Triton's package has no Python backend for Python {python}")
    link = home / "backends" / "python" / stub.name
    link.unlink(missing_ok=True)
    link.symlink_to(stub)


def _free_port() -> int:
    """Returns a port that is free now, because Triton cannot choose one itself."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
