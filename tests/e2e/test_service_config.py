"""gRPC's own retries bring a request of 2 MB through, with the samples of each language."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path

import grpc
import languages
import pytest
from lossd.v1 import loss_service_pb2

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "client" / "service_config"
CONFIG = SAMPLES / "service_config.json"
BINARIES = Path(os.environ.get("LOSSD_BINARY_DIR", "build/dev")).absolute()

# Maps a language to the command without the address.
COMMANDS: dict[str, list[str]] = {
    "python": [sys.executable, str(SAMPLES / "python" / "retry.py")],
    "cpp": [str(BINARIES / "client" / "retry_sample")],
}
ARGUMENTS = {"python": [], "node": [str(ROOT / "proto")]}


@contextmanager
def refusing(times: int) -> Iterator[tuple[str, list[int]]]:
    """Serves ComputeLoss, refuses the first attempts of a call as lossd does, then answers.

    Yields the address and the sizes of the requests that arrived.
    """
    sizes: list[int] = []

    def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
        sizes.append(len(request))
        if len(sizes) <= times:
            context.set_trailing_metadata((("grpc-retry-pushback-ms", "20"),))
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "full")
        return loss_service_pb2.ComputeLossResponse(loss=0.5).SerializeToString()

    handler = grpc.method_handlers_generic_handler(
        "lossd.v1.LossService", {"ComputeLoss": grpc.unary_unary_rpc_method_handler(answer)}
    )
    server = grpc.server(
        futures.ThreadPoolExecutor(2), options=[("grpc.max_receive_message_length", -1)]
    )
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}", sizes
    server.stop(None)


@pytest.mark.parametrize("language", [*COMMANDS, *languages.ALL])
def test_a_refused_request_of_2_mb_is_sent_again_and_answered(language: str) -> None:
    command = COMMANDS.get(language) or languages.command(language, "retry")
    environment = {**os.environ, "SERVICE_CONFIG": str(CONFIG)}
    with refusing(3) as (address, sizes):
        done = subprocess.run(
            [*command, address, *ARGUMENTS.get(language, [str(CONFIG)])],
            capture_output=True,
            text=True,
            timeout=60,
            env=environment,
        )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == 0.5
    assert len(sizes) == 4
    assert min(sizes) > 2 << 20
