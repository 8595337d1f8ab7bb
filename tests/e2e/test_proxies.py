"""The proxies accept their files in deploy/, and lose no call before a server that is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from soak import message
from soak.proxies import calls
from soak.proxies.fleet import Fleet, in_front, running_fleet
from soak.proxies.load import PLAIN
from soak.proxies.proxy import KINDS, Backend, NoProxy
from soak.server import Setting

ROOT = Path(__file__).resolve().parents[2]
SERVER = Path(os.environ.get("LOSSD_BINARY_DIR", "build/dev")) / "server" / "lossd"
ENVOY = ROOT / "build" / "venv-envoy" / "bin"
AT_ONCE = ("--drain_delay=0s",)  # servers end without waiting for balancers to look
BACKENDS = [Backend(f"127.0.0.1:{port}", f"127.0.0.1:{port + 10}") for port in (1001, 1002, 1003)]


def program_of(name: str) -> str:
    """Returns the program's path; skips the test where it is not installed."""
    try:
        return KINDS[name].found([ENVOY])
    except NoProxy as reason:
        pytest.skip(str(reason))


def certificate(folder: Path) -> None:
    """Makes a certificate for the name lossd that is its own authority."""
    made = ["-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=lossd"]
    named = ["-addext", "subjectAltName=DNS:lossd"]
    files = ["-keyout", str(folder / "tls.key"), "-out", str(folder / "tls.crt")]
    subprocess.run(["openssl", "req", *made, *named, *files], capture_output=True, check=True)
    (folder / "ca.crt").write_bytes((folder / "tls.crt").read_bytes())


@pytest.mark.parametrize("name", list(KINDS))
def test_a_proxy_accepts_its_file(name: str, tmp_path: Path) -> None:
    program = program_of(name)
    file = tmp_path / KINDS[name].file.name
    file.write_text(KINDS[name].configured(BACKENDS, 1000))
    told = subprocess.run(
        [program, *KINDS[name].check(file)], capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr
    # A deprecated field is one that the next version refuses.
    assert "deprecated" not in (told.stdout + told.stderr).lower()


def test_envoy_accepts_its_file_with_tls(tmp_path: Path) -> None:
    program = program_of("envoy")
    certificate(tmp_path)
    file = tmp_path / "envoy.yaml"
    text = KINDS["envoy"].configured(BACKENDS, 1000, tls=True)
    assert "DownstreamTlsContext" in text
    file.write_text(text.replace("/etc/lossd/", f"{tmp_path}/"))
    told = subprocess.run(
        [program, *KINDS["envoy"].check(file)], capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with running_fleet(Setting(SERVER, tmp_path, quick=True), "server", *AT_ONCE) as servers:
        yield servers


@pytest.mark.parametrize("name", list(KINDS))
def test_no_call_is_lost_when_servers_are_killed(name: str, fleet: Fleet) -> None:
    program_of(name)
    with in_front(fleet, name, KINDS[name], [ENVOY]) as front:
        row = calls.ended(fleet, front, 64, "64 elements", 3, signal.SIGKILL)
    assert row.verdict == "passed", row


@pytest.mark.parametrize("name", list(KINDS))
def test_a_proxy_names_the_flow_and_replaces_the_clients_name(name: str, tmp_path: Path) -> None:
    program_of(name)
    log = (*AT_ONCE, "--log_level=debug", "--log_format=json")
    with (
        running_fleet(Setting(SERVER, tmp_path, quick=True), "server", *log) as fleet,
        in_front(fleet, name, KINDS[name], [ENVOY]) as front,
        grpc.insecure_channel(front.address, PLAIN) as channel,
    ):
        call = channel.unary_unary(message.COMPUTE)
        asked = [("lossd-flow", "mine")]
        call(message.small_request() + message.field(8, b"named"), timeout=30, metadata=asked)
    lines = [
        json.loads(line) for server in fleet.servers for line in server.log.read_text().splitlines()
    ]
    [named] = [line for line in lines if line.get("request_id") == "named"]
    host, _, port = named["flow"].rpartition(":")
    assert host == "127.0.0.1"
    assert port.isdecimal()
