"""Containers of the image that is tried, and what the engine says of them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tools.docker.engine import docker, run, wait_for

IMAGE = "lossd:latest"
# These are the rights that deploy/compose.yaml and the chart give too.
HARDENED = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges")
# The image asks every ten seconds, and for three failures.
QUICK_PROBES = ("--health-interval=1s", "--health-retries=1")


@dataclass(frozen=True)
class Container:
    name: str
    address: str  # HOST:PORT of the service
    metrics: str  # HOST:PORT of /metrics

    def inspect(self, field: str) -> str:
        return docker("inspect", "--format", f"{{{{{field}}}}}", self.name)

    def health(self) -> str:
        return self.inspect(".State.Health.Status")

    def wait_for_health(self, wanted: str) -> None:
        wait_for(f"{self.name} is {wanted}", lambda: self.health() == wanted)

    def inside(self, *command: str) -> tuple[int, str]:
        """Returns the exit code and the output of a command in the container."""
        done = run("docker", "exec", self.name, *command, check=False)
        return done.returncode, (done.stdout + done.stderr).strip()

    def start_line(self) -> dict[str, Any]:
        """Returns the facts that the server's log has first."""
        for line in docker("logs", self.name).splitlines() + self._errors():
            if line.startswith("{") and '"max_inflight_bytes"' in line:
                facts: dict[str, Any] = json.loads(line)
                return facts
        raise AssertionError("the log has no line with the limits")

    def _errors(self) -> list[str]:
        return run("docker", "logs", self.name).stderr.splitlines()

    def stop(self, grace: int) -> int:
        """Returns the exit code that `docker stop` brought about."""
        docker("stop", "-t", str(grace), self.name)
        return int(self.inspect(".State.ExitCode"))


def published(name: str, port: int) -> str:
    return docker("port", name, f"{port}/tcp").splitlines()[0]


@contextlib.contextmanager
def container(*options: str, flags: Sequence[str] = ()) -> Iterator[Container]:
    """Runs the image with ports on loopback, and removes it when the block ends."""
    ports = ("-p=127.0.0.1::50051", "-p=127.0.0.1::9464")
    name = docker(
        "run", "-d", *ports, "-e=LOSSD_LOG_FORMAT=json", *HARDENED, *QUICK_PROBES, *options,
        IMAGE, *flags,
    )[:12]  # fmt: skip
    try:
        yield Container(name, published(name, 50051), published(name, 9464))
    finally:
        docker("rm", "-f", name)
