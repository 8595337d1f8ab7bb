"""A Docker engine: the one that runs here, or one that is started for the trial, as root."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

OUT = Path("build/docker").resolve()
RUN = Path("/run/lossd-docker")  # sockets, whose paths must be short


class DockerError(RuntimeError):
    """Says which command failed, and how."""


def run(*command: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Runs a command. Errors: DockerError with what it said."""
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False
    )
    if check and done.returncode != 0:
        raise DockerError(f"{' '.join(str(w) for w in command)}: {done.stderr or done.stdout}")
    return done


def docker(*arguments: str | Path, check: bool = True) -> str:
    """Returns what a command of docker prints."""
    return run("docker", *arguments, check=check).stdout.strip()


def wait_for(what: str, condition: Callable[[], bool], seconds: float = 60) -> None:
    """Waits until the condition holds. Errors: DockerError that names `what`."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise DockerError(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.1)


def answers() -> bool:
    return run("docker", "info", check=False).returncode == 0


def version() -> str:
    return docker("version", "--format", "{{.Server.Version}}")


@contextlib.contextmanager
def engine() -> Iterator[None]:
    """Has `docker` reach an engine until the block ends."""
    if answers():
        yield
        return
    OUT.mkdir(parents=True, exist_ok=True)
    RUN.mkdir(exist_ok=True)
    socket = f"unix://{RUN}/docker.sock"
    command = ["dockerd", f"--host={socket}", f"--data-root={OUT}/data", f"--exec-root={RUN}/exec"]
    with (OUT / "dockerd.log").open("wb") as log:
        started = subprocess.Popen(
            [*command, f"--pidfile={RUN}/docker.pid"], stdout=log, stderr=log
        )
    os.environ["DOCKER_HOST"] = socket
    try:
        wait_for(f"dockerd answers (its log is {OUT}/dockerd.log)", answers)
        yield
    finally:
        del os.environ["DOCKER_HOST"]
        started.send_signal(signal.SIGTERM)
        started.wait(timeout=60)
