"""lossbench and the README's example use a real server's shared memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import lossd
from running_server import RunningServer, eventually, lossbench
from shared_memory_server import shared_bytes, socket_path, start_server

fixtures = (socket_path, start_server)


def test_lossbench_measures_through_shared_memory(server: RunningServer, socket: str) -> None:
    for dtype in ("float32", "bfloat16"):
        report = lossbench(
            server,
            f"--shared_memory={socket}",
            "--elements=10000",
            f"--dtype={dtype}",
            "--concurrency=4",
            "--requests=50",
            "--warmup=0s",
            "--duration=60s",
        )
        assert report["requests"] == 50
        assert report["request_bytes"] < 500
        assert report["reply_bytes"] < 500
    with lossd.Client(server.address) as client:
        assert eventually(client, lambda: shared_bytes(server) == 0)


def test_the_example_of_the_clients_readme_runs(server: RunningServer, socket: str) -> None:
    readme = (Path(__file__).resolve().parents[2] / "client" / "README.md").read_text("utf-8")
    example = next(
        part.split("```")[0]
        for part in readme.split("```python\n")[1:]
        if "SharedMemory" in part.split("```")[0]
    )
    example = example.replace("localhost:50051", server.address)
    done = subprocess.run(
        [sys.executable, "-c", example.replace("/run/lossd/shared_memory", socket)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[0]) > 0
