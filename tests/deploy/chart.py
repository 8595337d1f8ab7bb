"""Renders the Helm chart with the real helm, for tests."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy" / "helm" / "lossd"
EXAMPLES = sorted((CHART / "examples").glob("*.yaml"))

# A helm that is built from its module takes Kubernetes for 1.20 unless it is told.
KUBERNETES = "--kube-version=1.37.0"

Values = dict[str, Any]
Manifest = dict[str, Any]


def find_helm() -> str | None:
    built = ROOT / "build" / "bin" / "helm"
    return str(built) if os.access(built, os.X_OK) else shutil.which("helm")


HELM = find_helm()
needs_helm = pytest.mark.skipif(HELM is None, reason="helm cannot be had: see need_helm")


def run_helm(
    command: str, *arguments: str, values: Values | None = None, chart: Path = CHART
) -> Any:
    """Runs `helm COMMAND` on the chart; `values` are read from standard input."""
    assert HELM is not None
    return subprocess.run(
        [HELM, *command.split(), str(chart), "-f", "-", KUBERNETES, *arguments],
        input=yaml.safe_dump(values or {}),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def render(values: Values | None = None, chart: Path = CHART) -> list[Manifest]:
    """Returns the manifests of a release called lossd."""
    done = run_helm("template lossd", values=values, chart=chart)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def refusal(values: Values) -> str:
    """Returns what helm says of values that the chart refuses."""
    done = run_helm("template lossd", values=values)
    assert done.returncode != 0, done.stdout
    return str(done.stderr)


def of_kind(manifests: list[Manifest], kind: str, name: str = "lossd") -> Manifest:
    [found] = [m for m in manifests if m["kind"] == kind and m["metadata"]["name"] == name]
    return found


def pod_of(manifests: list[Manifest], kind: str = "Deployment") -> Manifest:
    pod: Manifest = of_kind(manifests, kind)["spec"]["template"]["spec"]
    return pod


def container_of(manifests: list[Manifest], kind: str = "Deployment") -> Manifest:
    container: Manifest = pod_of(manifests, kind)["containers"][0]
    return container


def flags_of(manifests: list[Manifest]) -> dict[str, str]:
    """Returns the flags in the flag file that the chart renders."""
    lines = of_kind(manifests, "ConfigMap")["data"]["lossd.flags"].splitlines()
    return dict(line.removeprefix("--").split("=", 1) for line in lines)
