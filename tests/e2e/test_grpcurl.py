"""The README's grpcurl line works by reflection alone, with the real grpcurl."""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from running_server import running_server

ROOT = Path(__file__).resolve().parents[2]
GRPCURL = os.environ.get("GRPCURL", str(ROOT / "build/bin/grpcurl"))


def grpcurl(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [GRPCURL, *arguments], capture_output=True, text=True, timeout=30, check=False
    )


def line_of_the_readme() -> list[str]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(r"^(build/bin/grpcurl .*ComputeLoss.*)$", text, re.MULTILINE)
    assert found is not None, "the README shows no grpcurl line"
    return shlex.split(found[1])[1:]


def test_the_line_of_the_readme_answers_loss_and_gradient() -> None:
    with running_server() as server:
        line = [word.replace("localhost:50051", server.address) for word in line_of_the_readme()]
        done = grpcurl(*line)
    assert done.returncode == 0, done.stderr
    reply = json.loads(done.stdout)
    softplus = [math.log1p(math.exp(-0.5)), math.log1p(math.exp(-1))]
    assert reply["loss"] == pytest.approx(sum(softplus) / 2, rel=1e-6)
    gradient = [-1 / (1 + math.exp(0.5)) / 2, 1 / (1 + math.exp(1)) / 2]
    assert reply["gradient"]["values"] == pytest.approx(gradient, rel=1e-6)


def test_reflection_lists_the_services() -> None:
    with running_server() as server:
        done = grpcurl("-plaintext", server.address, "list")
        method = grpcurl(
            "-plaintext", server.address, "describe", "lossd.v1.LossService.ComputeLoss"
        )
    assert "lossd.v1.LossService" in done.stdout.split()
    assert "ComputeLossRequest" in method.stdout


def test_every_listed_service_can_be_described_with_its_messages() -> None:
    with running_server("--channelz") as server:
        services = grpcurl("-plaintext", server.address, "list").stdout.split()
        assert {
            "grpc.channelz.v1.Channelz",
            "grpc.health.v1.Health",
            "grpc.reflection.v1alpha.ServerReflection",
            "lossd.v1.LossService",
        } <= set(services)
        for service in services:
            done = grpcurl("-plaintext", server.address, "describe", service)
            assert done.returncode == 0, done.stderr
            messages = re.findall(r"\( (?:stream )?\.([\w.]+) \)", done.stdout)
            assert messages, done.stdout
            for message in set(messages):
                done = grpcurl("-plaintext", server.address, "describe", message)
                assert done.returncode == 0, done.stderr


def test_health_is_called_by_reflection_alone() -> None:
    with running_server() as server:
        done = grpcurl("-plaintext", server.address, "grpc.health.v1.Health/Check")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"status": "SERVING"}


def test_a_bad_request_names_field_and_value() -> None:
    with running_server() as server:
        request = '{"logits":{"values":[0.5]},"targets":{"values":[1.5]}}'
        done = grpcurl(
            "-plaintext", "-d", request, server.address, "lossd.v1.LossService/ComputeLoss"
        )
    assert done.returncode != 0
    assert "InvalidArgument" in done.stderr
    assert "targets[0]: 1.5" in done.stderr
