"""Tokens of a real server: who may see what, new files, and plaintext beyond this machine."""

from __future__ import annotations

import contextlib
import queue
import re
import signal
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import grpc
import lossd
import numpy as np
import pytest
from lossd.streaming import LossStream
from running_server import BINARIES, RunningServer, running_server
from test_tls_renewal import make_certificate

SECONDS = 60
PAUSE = threading.Event()  # is never set: wait() pauses between two questions


@pytest.fixture(name="tokens")
def make_tokens(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    path.write_text("everything\nworker allow=compute\nwatcher allow=admin\n")
    return path


def replace(path: Path, text: str) -> None:
    new = path.with_suffix(".new")
    new.write_text(text)
    new.rename(path)


def is_let_in(server: RunningServer, token: str) -> bool:
    with lossd.Client(server.address, token=token) as client:
        try:
            client.server_info()
        except lossd.LossdError as error:
            if error.code == grpc.StatusCode.UNAUTHENTICATED:
                return False
            raise
        return True


def page(server: RunningServer, path: str, token: str = "") -> tuple[int, str]:
    request = urllib.request.Request(f"http://{server.metrics}{path}")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def until(condition: object) -> bool:
    assert callable(condition)
    return any(condition() or PAUSE.wait(0.05) for _ in range(20 * SECONDS))


def test_a_replaced_file_is_in_use_without_a_signal(tokens: Path) -> None:
    with running_server(f"--token_file={tokens}") as server:
        assert is_let_in(server, "worker")
        replace(tokens, "next\n")
        assert until(lambda: is_let_in(server, "next"))
        assert not is_let_in(server, "worker")


def test_a_token_that_is_taken_away_ends_its_session(tokens: Path) -> None:
    logits, targets = np.zeros(4, np.float32), np.ones(4, np.float32)
    with (
        running_server(f"--token_file={tokens}") as server,
        lossd.Client(server.address, token="worker") as client,
        client.session() as session,
    ):
        session.compute_loss(logits, targets, timeout=SECONDS)
        replace(tokens, "worker allow=compute\nother\n")
        server.process.send_signal(signal.SIGHUP)
        assert until(lambda: is_let_in(server, "other"))
        session.compute_loss(logits, targets, timeout=SECONDS)
        replace(tokens, "other\n")
        server.process.send_signal(signal.SIGHUP)
        assert until(lambda: not is_let_in(server, "worker"))
        with pytest.raises(lossd.LossdError, match="not a known bearer token") as raised:
            session.compute_loss(logits, targets, timeout=SECONDS)
        assert raised.value.code is grpc.StatusCode.UNAUTHENTICATED


def test_a_token_that_is_taken_away_ends_its_stream(tokens: Path) -> None:
    zeros = np.zeros(4 << 17, np.float32)  # four windows, each of which is answered by itself
    header, *chunks = LossStream(zeros, zeros).messages()
    sent: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    with (
        running_server(f"--token_file={tokens}") as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        stream = channel.stream_stream("/lossd.v1.LossService/StreamLoss")
        bearer = (("authorization", "Bearer worker"),)
        answers = stream(iter(sent.get, None), metadata=bearer, timeout=SECONDS)
        for message in (header, chunks[0]):
            sent.put(message)
        assert next(answers)
        replace(tokens, "worker allow=compute\nother\n")
        server.process.send_signal(signal.SIGHUP)
        assert until(lambda: is_let_in(server, "other"))
        sent.put(chunks[1])
        assert next(answers)
        replace(tokens, "other\n")
        server.process.send_signal(signal.SIGHUP)
        assert until(lambda: not is_let_in(server, "worker"))
        sent.put(chunks[2])
        with pytest.raises(grpc.RpcError, match="not a known bearer token") as raised:
            next(answers)
        sent.put(None)
        assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_wrong_tokens_are_counted_at_every_door(tokens: Path) -> None:
    bearer = (("authorization", "Bearer guessed"),)
    with (
        running_server(f"--token_file={tokens}", "--metrics_need_token") as server,
        grpc.insecure_channel(server.address) as channel,
    ):

        def refused() -> int:
            text = page(server, "/metrics", "watcher")[1]
            found = re.search(r"^lossd_tokens_refused_total (\d+)$", text, re.M)
            return int(found[1]) if found else -1

        assert refused() == 0
        assert not is_let_in(server, "guessed")
        assert refused() == 1
        reflect = channel.stream_stream(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
        )
        with pytest.raises(grpc.RpcError):
            next(reflect(iter([b""]), metadata=bearer, timeout=SECONDS))
        assert refused() == 2
        assert page(server, "/", "guessed")[0] == 401
        assert page(server, "/healthz")[0] == 200
        assert refused() == 3


def test_a_bad_file_keeps_the_old_tokens_and_the_metrics_say_so(
    tokens: Path, tmp_path: Path
) -> None:
    def good() -> str:
        found = re.search(r"^lossd_token_file_good (\d)$", page(server, "/metrics")[1], re.M)
        return found[1] if found else ""

    with (
        open(tmp_path / "log", "w") as log,
        running_server(f"--token_file={tokens}", log=log) as server,
    ):
        assert good() == "1"
        replace(tokens, "secret allow=all\n")
        server.process.send_signal(signal.SIGHUP)
        assert until(lambda: good() == "0")
        assert is_let_in(server, "worker")
        replace(tokens, "next\n")
        server.process.send_signal(signal.SIGHUP)
        assert until(lambda: good() == "1")
        assert not is_let_in(server, "worker")
    text = (tmp_path / "log").read_text()
    assert "the tokens in use stay" in text
    assert "line 1: allow= is followed by names of compute, shared_memory and admin" in text
    assert "secret" not in text


def test_metrics_need_a_token_only_where_they_are_told_to(tokens: Path) -> None:
    with running_server(f"--token_file={tokens}") as server:
        assert page(server, "/metrics")[0] == 200
    with running_server(f"--token_file={tokens}", "--metrics_need_token") as server:
        for path in ("/metrics", "/"):
            assert page(server, path)[0] == 401
            assert page(server, path, "unknown")[0] == 401
            assert page(server, path, "worker") == (
                403,
                "authorization: the token may not use admin\n",
            )
            assert page(server, path, "watcher")[0] == 200
        assert page(server, "/healthz") == (200, "serving\n")


def test_lossctl_watch_sends_a_token(tokens: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("watcher\n")
    with running_server(f"--token_file={tokens}", "--metrics_need_token") as server:

        def watch(*flags: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [str(BINARIES / "client/lossctl"), "watch", server.metrics]
                + ["--count=1", "--interval=100ms", *flags],
                capture_output=True,
                text=True,
                timeout=SECONDS,
                check=False,
            )

        refused = watch()
        assert refused.returncode == 1
        assert "HTTP status 401" in refused.stderr
        assert "--token_file" in refused.stderr
        assert watch(f"--token_file={own}").returncode == 0


def test_metrics_cannot_need_a_token_without_a_file() -> None:
    done = subprocess.run(
        [str(BINARIES / "server/lossd"), "--metrics_need_token"],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == "lossd: --metrics_need_token=true: must be given with --token_file\n"


@contextlib.contextmanager
def log_of(path: Path, *flags: str) -> Iterator[None]:
    with open(path, "w") as log, running_server(*flags, log=log):
        yield


def warnings(path: Path, *flags: str) -> list[str]:
    with log_of(path, *flags):
        pass
    lines = path.read_text().splitlines()
    # The tests' own variables are warned of, too.
    return [line for line in lines if " warning " in line and "variable=" not in line]


def test_plaintext_beyond_this_machine_is_warned_of_once(tokens: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert warnings(log) == []
    assert warnings(log, "--listen=[::1]:0") == []
    (line,) = warnings(log, "--listen=0.0.0.0:0")
    assert "calls are not encrypted: set --tls_cert and --tls_key" in line
    assert 'listen="0.0.0.0:' in line
    (line,) = warnings(log, "--listen=[::]:0", f"--token_file={tokens}")
    assert "so tokens can be read on the way" in line
    make_certificate(tmp_path, "own")
    tls = (f"--tls_cert={tmp_path}/own.pem", f"--tls_key={tmp_path}/own.key")
    assert warnings(log, "--listen=0.0.0.0:0", *tls) == []
