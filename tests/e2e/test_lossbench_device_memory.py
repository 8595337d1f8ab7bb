"""lossbench lends GPU memory from a fake driver to a server on fake GPUs."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from running_server import running_server

BINARIES = Path(os.environ.get("LOSSD_BINARY_DIR", "build/dev"))
DRIVER = {**os.environ, "LD_LIBRARY_PATH": str(BINARIES / "tests" / "fake_driver")}


def lossbench(environment: dict[str, str], *flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(BINARIES / "client" / "lossbench"), *flags],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment,
    )


def test_answers_come_from_memory_that_another_process_lends(tmp_path: Path) -> None:
    socket = tmp_path / "regions"
    # The server's exit code is 1 if a GPU resource was not given back.
    with running_server(
        f"--shared_memory_socket={socket}", program="tests/integration/fake_gpu_server"
    ) as server:
        done = lossbench(
            DRIVER,
            f"--target={server.address}",
            f"--shared_memory={socket}",
            "--device_memory",
            "--elements=5000",
            "--concurrency=3",
            "--requests=50",
            "--warmup=0s",
            "--json",
        )
        assert done.returncode == 0, done.stderr
        report = json.loads(done.stdout)
        assert report["errors"] == {}
        assert report["requests"] >= 50


def test_device_memory_without_shared_memory_is_refused() -> None:
    done = lossbench(dict(os.environ), "--device_memory")
    assert done.returncode == 2
    assert done.stderr == "lossbench: --device_memory: only with --shared_memory\n"
