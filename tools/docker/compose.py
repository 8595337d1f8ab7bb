"""deploy/compose.yaml, up and scraped, with images of this machine where no registry is reached."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lossd
import numpy as np
import yaml

from tools.docker.engine import docker, run, wait_for

FILE = Path("deploy/compose.yaml")
OVERRIDE = Path("tools/docker/compose.override.yaml")
IMAGES = Path("tools/docker/images")
STAND_INS = {"prometheus": "lossd-trial/prometheus", "grafana": "lossd-trial/grafana-stand-in"}
LOGITS = np.linspace(-8, 8, 65_536, dtype=np.float32)


def program() -> list[str]:
    """Returns the command of Compose: the plugin, or the one that ./dev docker builds."""
    if run("docker", "compose", "version", check=False).returncode == 0:
        return ["docker", "compose"]
    built = Path("build/bin/docker-compose")
    found = str(built) if os.access(built, os.X_OK) else shutil.which("docker-compose")
    assert found, "Compose is not installed"
    return [found]


class Stack:
    """The project of the trial."""

    def __init__(self, pulled: bool) -> None:
        self.pulled = pulled  # the images are those that the file names
        self._files = ["-f", str(FILE), "-f", str(OVERRIDE)]
        if not pulled:
            self._files += ["-f", str(IMAGES / "compose.images.yaml")]

    def compose(self, *arguments: str) -> str:
        return run(*program(), "-p", "lossd-trial", *self._files, *arguments).stdout.strip()

    def address(self, service: str, port: int) -> str:
        return self.compose("port", service, str(port))

    def get(self, service: str, port: int, path: str, **parameters: str) -> Any:
        """Returns a page in JSON."""
        query = urllib.parse.urlencode(parameters)
        url = f"http://{self.address(service, port)}{path}?{query}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            return json.load(answer)

    def value(self, query: str) -> float:
        """Returns Prometheus' value of a query, or -1 without one."""
        result = self.get("prometheus", 9090, "/api/v1/query", query=query)["data"]["result"]
        return float(result[0]["value"][1]) if result else -1


def pull() -> bool:
    """Pulls the images that the file names. Returns whether they are here."""
    services = yaml.safe_load(FILE.read_text())["services"]
    return all(
        run("docker", "pull", "-q", services[name]["image"], check=False).returncode == 0
        for name in STAND_INS
    )


def build_stand_ins() -> None:
    for service, image in STAND_INS.items():
        file = IMAGES / f"{service}.Dockerfile"
        docker("build", "-q", "--network=host", "-t", image, "-f", file, IMAGES)


@contextlib.contextmanager
def stack() -> Iterator[Stack]:
    """Brings the stack up, and waits until it is; takes it down with its volumes."""
    pulled = pull()
    if not pulled:
        build_stand_ins()
    running = Stack(pulled)
    try:
        running.compose("up", "-d", "--no-build", "--wait")
        yield running
    finally:
        running.compose("down", "-v")


def call(running: Stack) -> None:
    with lossd.Client(running.address("lossd", 50051)) as client:
        for _ in range(20):
            client.compute_loss(LOGITS, LOGITS > 0)


def scraped(running: Stack) -> str:
    """Prometheus scrapes the server, and has its alerts."""
    wait_for("the target is up", lambda: running.value('up{job="lossd"}') == 1)
    call(running)
    wait_for(
        "calls are in Prometheus",
        lambda: running.value('sum(lossd_requests_total{method="ComputeLoss",code="OK"})') >= 20,
    )
    groups = running.get("prometheus", 9090, "/api/v1/rules")["data"]["groups"]
    alerts = [rule["name"] for group in groups for rule in group["rules"]]
    assert "LossdDown" in alerts
    return f"target up, 20 of 20 calls counted, {len(alerts)} alerts loaded"


def rate_after_calls(running: Stack) -> float:
    """A rate needs two scrapes that differ."""
    call(running)
    return running.value("sum(rate(lossd_requests_total[20s]))")


def dashboard(running: Stack) -> str:
    """The dashboard's server finds the data source and the dashboard, and its queries have data."""
    assert running.get("grafana", 3000, "/api/health")["database"] == "ok"
    if running.pulled:
        found = running.get("grafana", 3000, "/api/search", query="lossd")
        assert [each["title"] for each in found] == ["lossd"]
        return "Grafana is up and has the dashboard"
    wait_for("rates are there", lambda: rate_after_calls(running) > 0)
    answers = running.get("grafana", 3000, "/queries", rate_interval="20s")
    refused = [query for query, (status, _) in answers.items() if status != "success"]
    assert not refused, refused
    with_data = sum(series > 0 for _, series in answers.values())
    assert with_data > len(answers) / 2, answers
    return (
        f"by a stand-in for Grafana: {len(answers)} queries sent, 0 refused, {with_data} with data"
    )


def ended(running: Stack) -> str:
    """`docker compose stop` drains the server."""
    running.compose("stop", "lossd")
    container = running.compose("ps", "-aq", "lossd")
    code = docker("inspect", "--format", "{{.State.ExitCode}}", container)
    assert code == "0", code
    return "exit code 0"


CHECKS = (scraped, dashboard, ended)
