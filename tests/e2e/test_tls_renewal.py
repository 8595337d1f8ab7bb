"""Certificates are replaced under a running server, file by file, and nobody is locked out."""

from __future__ import annotations

import os
import re
import signal
import socket
import ssl
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

BINARIES = Path(os.environ.get("LOSSD_BINARY_DIR", "build/dev"))
SECONDS = 30


def make_certificate(folder: Path, name: str, days: int = 30) -> None:
    """Makes a self-signed certificate for this host, which is its own authority."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        + ["-nodes", "-days", str(days), "-subj", f"/CN={name}"]
        + ["-addext", "subjectAltName=IP:127.0.0.1"]
        + ["-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.pem")],
        check=True,
        capture_output=True,
    )


class SecureServer:
    """A server with TLS whose log can be waited for."""

    def __init__(self, folder: Path, *flags: str) -> None:
        self.folder = folder
        for kind in ("pem", "key"):
            self.replace(kind, "old")
        self._process = subprocess.Popen(
            [str(BINARIES / "server/lossd"), "--listen=127.0.0.1:0", "--metrics_listen=127.0.0.1:0"]
            + [f"--tls_cert={folder}/live.pem", f"--tls_key={folder}/live.key", *flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        words = self._process.stdout.readline().split()
        self.address, self.metrics = words[3], words[6]
        self._changed = threading.Condition()
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            with self._changed:
                self._lines.append(line)
                self._changed.notify_all()

    def replace(self, kind: str, name: str) -> None:
        """Replaces one file as careful tools do: by renaming."""
        new = self.folder / "new"
        new.write_bytes((self.folder / f"{name}.{kind}").read_bytes())
        new.rename(self.folder / f"live.{kind}")

    def reload(self, line: str) -> None:
        """Sends HUP and waits for a new line that has the words."""
        with self._changed:
            seen = len(self._lines)
            self._process.send_signal(signal.SIGHUP)
            found = self._changed.wait_for(
                lambda: any(line in text for text in self._lines[seen:]), SECONDS
            )
            assert found, f"no {line!r} in {self._lines[seen:]}"

    def shown(self) -> str:
        """Returns the certificate that a new connection is shown."""
        host, port = self.address.split(":")
        return ssl.get_server_certificate((host, int(port)), timeout=SECONDS)

    def metric(self, name: str) -> float:
        with urllib.request.urlopen(f"http://{self.metrics}/metrics", timeout=SECONDS) as page:
            found = re.search(rf"^{name} (\S+)$", page.read().decode(), re.MULTILINE)
        assert found is not None
        return float(found[1])

    def stop(self) -> str:
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(timeout=SECONDS) == 0
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()
        return "".join(self._lines)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("old", "new_one"):
        make_certificate(tmp_path, name)
    make_certificate(tmp_path, "ending", days=3)
    return tmp_path


@pytest.fixture
def server(folder: Path) -> Iterator[SecureServer]:
    running = SecureServer(folder)
    yield running
    running.stop()


def pem(folder: Path, name: str) -> str:
    return (folder / f"{name}.pem").read_text()


def test_files_are_replaced_one_after_the_other_and_each_handshake_succeeds(
    server: SecureServer, folder: Path
) -> None:
    assert server.shown() == pem(folder, "old")
    server.replace("pem", "new_one")
    server.reload("the certificate belongs to another key")
    assert server.shown() == pem(folder, "old")
    server.replace("key", "new_one")
    server.reload("a new certificate is in use")
    assert server.shown() == pem(folder, "new_one")
    server.reload("the certificate is unchanged")


def test_calls_succeed_before_and_after_on_new_connections(
    server: SecureServer, folder: Path
) -> None:
    for name in ("old", "new_one"):
        for kind in ("key", "pem"):
            server.replace(kind, name)
        server.reload("certificate is")
        roots = (folder / f"{name}.pem").read_bytes()
        with grpc.secure_channel(
            server.address,
            grpc.ssl_channel_credentials(roots),
            [("grpc.use_local_subchannel_pool", 1)],
        ) as channel:
            channel.unary_unary("/lossd.v1.LossService/GetServerInfo")(b"", timeout=SECONDS)


def test_a_missing_or_broken_file_changes_nothing(server: SecureServer, folder: Path) -> None:
    (folder / "live.key").unlink()
    server.reload("must be a file that can be read")
    (folder / "live.key").write_text("words")
    server.reload("has no private key in PEM")
    assert server.shown() == pem(folder, "old")


def test_the_end_of_the_certificate_is_a_metric_and_a_warning(
    server: SecureServer, folder: Path
) -> None:
    def end_of(name: str) -> float:
        text = subprocess.run(
            ["openssl", "x509", "-in", str(folder / f"{name}.pem"), "-noout", "-enddate"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        return ssl.cert_time_to_seconds(text.strip().split("=")[1])

    name = "lossd_certificate_expiry_timestamp_seconds"
    assert server.metric(name) == end_of("old")
    for kind in ("key", "pem"):
        server.replace(kind, "ending")
    server.reload("a certificate in use ends soon")
    assert server.metric(name) == end_of("ending")


def test_clients_that_speak_no_tls_are_counted_and_summed_up(folder: Path) -> None:
    server = SecureServer(folder)
    host, port = server.address.split(":")
    for _ in range(3):
        with socket.create_connection((host, int(port)), timeout=SECONDS) as plain:
            plain.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            while plain.recv(1000):
                pass
    assert server.metric("lossd_failed_handshakes_total") == 3
    assert sum(map(int, re.findall(r'"tls_handshake" count=(\d+)', server.stop()))) == 3


def test_client_authorities_are_replaced_too(folder: Path) -> None:
    authorities = folder / "authorities"
    authorities.write_text(pem(folder, "old"))
    server = SecureServer(folder, f"--tls_client_ca={authorities}")

    def is_let_in(client: str) -> bool:
        credentials = grpc.ssl_channel_credentials(
            pem(folder, "old").encode(),
            (folder / f"{client}.key").read_bytes(),
            (folder / f"{client}.pem").read_bytes(),
        )
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.secure_channel(server.address, credentials, options) as channel:
            try:
                channel.unary_unary("/lossd.v1.LossService/GetServerInfo")(b"", timeout=SECONDS)
            except grpc.RpcError as error:
                if error.code() == grpc.StatusCode.UNAVAILABLE:
                    return False
                raise
            return True

    try:
        assert is_let_in("old")
        assert not is_let_in("new_one")
        authorities.write_text("words")
        server.reload("--tls_client_ca=")
        assert is_let_in("old")
        authorities.write_text(pem(folder, "new_one"))
        server.reload("new client authorities are in use")
        assert is_let_in("new_one")
        assert not is_let_in("old")
    finally:
        server.stop()
