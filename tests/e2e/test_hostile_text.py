"""Text that a client chooses makes no line, field, series or label of its own."""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path

import grpc
import lossd
import numpy as np
import pytest
from http2_connection import END_HEADERS, END_STREAM, HEADERS, Connection, frame, header_block
from running_server import running_server

SECONDS = 60
# The end of a label, a second sample, a comment and a line of a log; what steers a terminal.
HOSTILE = 'a",code="OK"} 7\n# HELP x y\n{"level":"error"}\x1b[2J\x7f\\'
JOB = 'a"} 1\\ {'  # printable, as a job's name has to be
SAMPLE = re.compile(r'[a-z_]+(\{([a-z_]+="([^"\\\n]|\\.)*",?)+\})? \S+')
COMMENT = re.compile(r"# (HELP|TYPE) [a-z_]+ .+")


def metrics(address: str) -> list[str]:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=SECONDS) as page:
        text: str = page.read().decode()
    return text.splitlines()


def names(lines: list[str]) -> set[str]:
    return {line.rpartition(" ")[0] for line in lines if not line.startswith("#")}


def send_everything(address: str) -> None:
    """Sends hostile text wherever a client may choose some."""
    with lossd.Client(address) as client:
        client.compute_loss(np.zeros(1), np.zeros(1), request_id=HOSTILE)
        with pytest.raises(lossd.LossdError):
            client.compute_loss(np.zeros(2), np.full(2, 1.5), request_id=HOSTILE)
    with lossd.Client(address, job=JOB) as client:
        client.compute_loss(np.zeros(1), np.zeros(1))
    printable = "".join(c for c in HOSTILE if c.isprintable())
    with grpc.insecure_channel(
        address, options=[("grpc.primary_user_agent", printable)]
    ) as channel:
        for metadata in (
            [("lossd-flow", printable), ("a-bin", HOSTILE.encode())],
            [("lossd-flow", "x" * 129)],
            [("authorization", f"Bearer {printable}"), ("x-header", printable)],
        ):
            call = channel.unary_unary("/lossd.v1.LossService/GetServerInfo")
            call(b"", metadata=metadata, timeout=SECONDS)
            call = channel.unary_unary("/lossd.v1.LossService/ComputeLoss")
            with pytest.raises(grpc.RpcError):
                call(HOSTILE.encode(), metadata=metadata, timeout=SECONDS)
        call = channel.unary_unary(f"/lossd.v1.LossService/{printable}")
        with pytest.raises(grpc.RpcError):
            call(b"", timeout=SECONDS)
    with Connection(address) as raw:
        block = header_block(
            [
                (b":method", b"POST"),
                (b":scheme", b"http"),
                (b":path", b'/x"} 1'),
                (b":authority", b'a"b{}'),
                (b"te", b"trailers"),
                (b"content-type", b"application/grpc"),
            ]
        )
        raw.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, block))
        raw.take_end(1)


def test_neither_the_log_nor_the_metrics_are_forged(tmp_path: Path) -> None:
    flags = ("--log_level=debug", "--log_format=json", "--trust_flow_header")
    with (
        open(tmp_path / "log", "w") as log,
        running_server("--backend=cpu", *flags, log=log) as server,
    ):
        with lossd.Client(server.address) as client:
            client.compute_loss(np.zeros(1), np.zeros(1))
        before = names(metrics(server.metrics))
        send_everything(server.address)
        page = metrics(server.metrics)
    for line in page:
        assert (COMMENT if line.startswith("#") else SAMPLE).fullmatch(line), line
    # Series come from the program; the name of a job is one label's value, and escaped.
    jobs = {name for name in names(page) if "training_job=" in name}
    assert names(page) - jobs == before
    assert 'lossd_job_requests_total{training_job="a\\"} 1\\\\ {"}' in jobs
    lines = (tmp_path / "log").read_text().split("\n")[:-1]
    for line in lines:
        assert line.isprintable(), repr(line)
    records = [json.loads(line) for line in lines]
    assert HOSTILE in {record.get("request_id") for record in records}
    assert not [record for record in records if record["level"] == "error"]
