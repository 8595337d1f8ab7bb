"""The log of a real server says who asked for what, and a client cannot forge its lines."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc
import lossd
import numpy as np
import pytest

BINARIES = Path(os.environ.get("LOSSD_BINARY_DIR", "build/dev"))
SECONDS = 30
# A client might put this into its request_id.
AWKWARD = 'x"\\\r\n{"level":"error"}\x1b[2J\x00\x7f\x85\x9b\u2028é日'


class LoggingServer:
    """A server whose log is read when it has ended."""

    def __init__(self, *flags: str, **environment: str) -> None:
        self._process = subprocess.Popen(
            [str(BINARIES / "server/lossd"), "--listen=127.0.0.1:0", "--metrics_listen=127.0.0.1:0"]
            + list(flags),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={
                **{k: v for k, v in os.environ.items() if not k.startswith("LOSSD_")},
                **environment,
            },
        )
        assert self._process.stdout is not None
        self.address = self._process.stdout.readline().split()[3]

    def log(self) -> list[str]:
        self._process.send_signal(signal.SIGTERM)
        _, log = self._process.communicate(timeout=SECONDS)
        assert self._process.returncode == 0
        assert log.endswith("\n")
        return log[:-1].split("\n")

    def records(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.log()]

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def debugged() -> Iterator[LoggingServer]:
    server = LoggingServer("--log_format=json", "--log_level=debug")
    yield server
    server.kill()


def test_the_start_says_addresses_threads_limits_and_security() -> None:
    server = LoggingServer(
        "--log_format=json", "--cpu_threads=3", "--rpc_threads=2", "--max_inflight_bytes=123456789"
    )
    start = next(record for record in server.records() if record["message"] == "serving")
    assert start["level"] == "info"
    assert start["listen"] == server.address
    assert str(start["metrics_listen"]).startswith("127.0.0.1:")
    assert start["executors"] == 3
    assert start["rpc_threads"] == 2
    assert start["max_inflight_bytes"] == 123456789
    assert {"version", "backend", "max_inflight_requests", "max_message_bytes"} <= start.keys()
    assert (start["tls"], start["tokens"]) == ("off", "off")


def test_a_line_about_a_call_has_fields(debugged: LoggingServer) -> None:
    with lossd.Client(debugged.address) as client:
        client.compute_loss(np.zeros(3), np.ones(3), request_id="fine")
        with pytest.raises(lossd.LossdError):
            client.compute_loss(np.zeros(2), np.full(2, 1.5), request_id="bad")
        client.server_info()
    records = [r for r in debugged.records() if "method" in r]
    fine = next(r for r in records if r.get("request_id") == "fine")
    assert (fine["level"], fine["method"], fine["code"]) == ("debug", "ComputeLoss", "OK")
    assert 0 < float(str(fine["seconds"])) < SECONDS
    assert str(fine["peer"]).startswith("ipv4:127.0.0.1:")
    assert "reason" not in fine
    bad = next(r for r in records if r.get("request_id") == "bad")
    assert bad["code"] == "INVALID_ARGUMENT"
    assert "targets[0]: 1.5" in str(bad["reason"])
    assert any(r["method"] == "GetServerInfo" for r in records)


def test_a_client_of_a_unix_socket_is_named_by_its_process(tmp_path: Path) -> None:
    path = tmp_path / "lossd.socket"
    server = LoggingServer("--log_format=json", "--log_level=debug", f"--unix_socket={path}")
    with lossd.Client(f"unix:{path}") as client:
        client.compute_loss(np.zeros(3), np.ones(3))
        client.server_info()
    calls = [record for record in server.records() if "method" in record]
    assert {record["method"] for record in calls} == {"ComputeLoss", "GetServerInfo"}
    assert {record["peer"] for record in calls} == {f"unix:pid:{os.getpid()}"}


def test_a_request_id_cannot_make_a_line_and_is_cut(debugged: LoggingServer) -> None:
    with lossd.Client(debugged.address) as client:
        client.compute_loss(np.zeros(1), np.zeros(1), request_id=AWKWARD)
        client.compute_loss(np.zeros(1), np.zeros(1), request_id="é" * 1000)
    lines = debugged.log()
    for line in lines:
        assert line.isprintable(), repr(line)
    ids = {json.loads(line).get("request_id") for line in lines}
    assert AWKWARD in ids
    assert "é" * 128 + "..." in ids


def test_an_error_with_bytes_of_the_client_is_one_line(debugged: LoggingServer) -> None:
    with grpc.insecure_channel(debugged.address) as channel:
        call = channel.unary_unary("/lossd.v1.LossService/ComputeLoss")
        for message in (b"\xff\x00\n", b"\x42\x02\xff\xfe"):
            with pytest.raises(grpc.RpcError):
                call(message, timeout=SECONDS)
    for line in debugged.log():
        assert json.loads(line)
        assert line.isprintable(), repr(line)


def test_refusals_are_summed_up_in_one_warning_for_each_reason() -> None:
    server = LoggingServer("--log_format=json")
    with grpc.insecure_channel(server.address) as channel:
        call = channel.unary_unary("/lossd.v1.LossService/ComputeLoss")
        for _ in range(7):
            with pytest.raises(grpc.RpcError):
                call(b"\xff", timeout=SECONDS)
    warnings = [r for r in server.records() if r["level"] == "warning"]
    assert sum(int(str(r["count"])) for r in warnings) == 7
    assert {(r["message"], r["reason"]) for r in warnings} == {("refused", "INVALID_ARGUMENT")}
    assert len(warnings) <= 2  # a period may have ended meanwhile


def test_unknown_variables_are_named_and_those_of_kubernetes_are_not() -> None:
    server = LoggingServer(
        "--log_format=json",
        LOSSD_MAXMESSAGE="1",
        LOSSD_SERVICE_HOST="10.0.0.1",
        LOSSD_PORT="tcp://10.0.0.1:50051",
        LOSSD_PORT_50051_TCP_ADDR="10.0.0.1",
        LOSSD_LOG_LEVEL="info",
    )
    named = [r["variable"] for r in server.records() if "variable" in r]
    assert named == ["LOSSD_MAXMESSAGE"]


def test_a_text_line_reads_well() -> None:
    server = LoggingServer("--log_level=debug")
    with lossd.Client(server.address) as client:
        client.compute_loss(np.zeros(1), np.zeros(1), request_id="r-1")
    line = next(line for line in server.log() if "r-1" in line)
    assert " debug ComputeLoss OK method=" in line
    assert ' request_id="r-1" peer="ipv4:127.0.0.1:' in line
