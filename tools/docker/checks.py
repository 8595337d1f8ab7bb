"""Checks of the image under a real engine. Each returns what was seen."""

from __future__ import annotations

import subprocess
import time
import urllib.error
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import grpc
import lossd
import numpy as np

from soak.loads import all_loads
from tools.docker.container import IMAGE, Container, container
from tools.docker.engine import docker, run

MIB = 1 << 20
MOST_COMPRESSED = 120_000_000  # bytes of `docker save | gzip`
GRACE = 30  # seconds of `docker stop`
AT_ONCE = 12  # large requests


def megabytes(number: float) -> str:
    return f"{number / 1e6:.1f} MB"


def size() -> str:
    """The image is small: goal under 120 MB compressed."""
    saved = subprocess.Popen(["docker", "save", IMAGE], stdout=subprocess.PIPE)
    zipped = subprocess.Popen(["gzip", "-6"], stdin=saved.stdout, stdout=subprocess.PIPE)
    assert zipped.stdout is not None
    compressed = 0
    while piece := zipped.stdout.read(MIB):
        compressed += len(piece)
    assert saved.wait() == 0
    assert zipped.wait() == 0
    unpacked = int(docker("image", "inspect", "--format", "{{.Size}}", IMAGE))
    assert compressed < MOST_COMPRESSED, megabytes(compressed)
    return f"{megabytes(compressed)} compressed, {megabytes(unpacked)} on disk"


def rights() -> str:
    """Runs as user 10001, without capabilities, and cannot write."""
    with container() as server:
        server.wait_for_health("healthy")
        assert server.inside("id", "-u") == (0, "10001")
        code, said = server.inside("sh", "-c", "echo x > /tmp/x")
        assert code != 0, "a file could be written"
        assert "Read-only file system" in said, said
        _, status = server.inside("cat", "/proc/1/status")
        facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert int(facts["CapEff"], 16) == 0, facts["CapEff"]
        assert facts["NoNewPrivs"] == "1"
    return "user 10001, no capabilities, nothing can be written"


def http_status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refusal:
        return refusal.code


def probe() -> str:
    """HEALTHCHECK passes while the server serves, and fails while it drains."""
    with container("-e=LOSSD_DRAIN_DELAY=30s") as server:
        server.wait_for_health("healthy")
        docker("kill", "-s=TERM", server.name)
        server.wait_for_health("unhealthy")
        assert server.inspect(".State.Running") == "true"
        assert http_status(f"http://{server.metrics}/healthz") == 503
    return "healthy; unhealthy during a drain, and /healthz 503"


def limits() -> str:
    """The server knows its limits, and stays within them under large requests."""
    with container("-m=512m", "--cpus=0.5") as server:
        server.wait_for_health("healthy")
        facts = server.start_line()
        assert facts["memory_bytes"] == 512 * MIB, facts
        assert facts["processors"] == 1, facts
        refused = overload(server)
        assert server.inspect(".State.OOMKilled") == "false"
        assert server.inspect(".State.Running") == "true"
        budget = facts["max_inflight_bytes"] // MIB
    return (
        f"start line: 512 MiB by {facts['memory_by']}, 1 processor by {facts['processors_by']}, "
        f"{budget} MiB in flight; survives {AT_ONCE} requests of 40 MB at once ({refused} refused)"
    )


def overload(server: Container) -> int:
    """Sends requests of 40 MB at once. Returns how many were refused."""
    logits = np.zeros(5_000_000, np.float32)
    with lossd.Client(server.address) as client:

        def ask(_: int) -> bool:
            try:
                client.compute_loss(logits, logits, timeout=120)
            except lossd.LossdError as error:
                if error.code is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                    raise
                return False
            return True

        with ThreadPoolExecutor(AT_ONCE) as threads:
            answered = sum(threads.map(ask, range(AT_ONCE)))
    assert answered > 0
    return AT_ONCE - answered


def stop() -> str:
    """`docker stop` of one of two servers under load loses no call."""
    flags = ["--drain_delay=1s", "--drain_timeout=20s"]
    with container(flags=flags) as first, container(flags=flags) as second:
        for server in (first, second):
            server.wait_for_health("healthy")
        with all_loads([first.address, second.address]) as loads:
            for load in loads:
                load.wait_for_more(3)
            start = time.monotonic()
            code = first.stop(GRACE)
            took = time.monotonic() - start
            for load in loads:
                load.wait_for_more(3)
        outcomes = sum((load.outcomes for load in loads), Counter[str]())
    assert code == 0, f"exit code {code}"
    assert took < GRACE
    answered = outcomes.pop("answered")
    assert not outcomes, outcomes
    return f"exit code 0 after {took:.1f} s; {answered:,} calls of 7 clients answered, 0 lost"


def refused_flag() -> str:
    """A bad flag ends the container with code 2 and one line."""
    done = run("docker", "run", "--rm", IMAGE, "--cpu_threads=many", check=False)
    lines = (done.stdout + done.stderr).strip().splitlines()
    assert done.returncode == 2, done
    assert len(lines) == 1, lines
    assert "cpu_threads" in lines[0]
    return f"exit code 2: {lines[0]}"


# In the order in which they are made. The text of each is its docstring.
CHECKS = (size, rights, probe, limits, refused_flag, stop)
