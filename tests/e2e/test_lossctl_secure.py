"""lossctl talks to a real server over TLS and with a token."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from running_server import running_server

BINARY_DIR = Path(os.environ.get("LOSSD_BINARY_DIR", "build/dev"))
LOSS = ("--logits=0", "--targets=1")


def make_certificate(folder: Path, name: str) -> None:
    """Makes a self-signed certificate for this host, which is its own authority."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
        + ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"]
        + ["-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.pem")],
        check=True,
        capture_output=True,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Makes a folder with certificates of a server and a client, and a token."""
    path = tmp_path_factory.mktemp("secure")
    make_certificate(path, "server")
    make_certificate(path, "client")
    (path / "words").write_text("root:x:0:0:root:/root:/bin/bash\n")
    (path / "empty").touch()
    (path / "cut").write_bytes((path / "server.pem").read_bytes()[:400])
    (path / "token").write_text("open-sesame\n")
    (path / "wrong_token").write_text("open-barley\n")
    (path / "two_tokens").write_text("one\ntwo\n")
    return path


@pytest.fixture(scope="module")
def target(folder: Path) -> Iterator[str]:
    """Starts a server that requires a client's certificate and a token."""
    with running_server(
        "--backend=cpu",
        f"--tls_cert={folder}/server.pem",
        f"--tls_key={folder}/server.key",
        f"--tls_client_ca={folder}/client.pem",
        f"--token_file={folder}/token",
    ) as server:
        yield server.address


def test_a_unix_socket_has_tls_too(folder: Path) -> None:
    path = folder / "socket"
    with running_server(
        f"--tls_cert={folder}/server.pem",
        f"--tls_key={folder}/server.key",
        f"--unix_socket={path}",
    ):
        credentials = grpc.ssl_channel_credentials((folder / "server.pem").read_bytes())
        options = (("grpc.ssl_target_name_override", "127.0.0.1"),)
        with grpc.secure_channel(f"unix:{path}", credentials, options) as channel:
            check = channel.unary_unary("/grpc.health.v1.Health/Check")
            assert check(b"", timeout=60) == b"\x08\x01"  # SERVING
        with grpc.insecure_channel(f"unix:{path}") as channel:
            check = channel.unary_unary("/grpc.health.v1.Health/Check")
            with pytest.raises(grpc.RpcError):
                check(b"", timeout=60)


def lossctl(target: str, *flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(BINARY_DIR / "client" / "lossctl"), f"--target={target}", "--timeout=10s", *flags],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def tls(folder: Path, authority: str = "server") -> tuple[str, ...]:
    return (
        f"--tls_ca={folder}/{authority}.pem",
        f"--tls_cert={folder}/client.pem",
        f"--tls_key={folder}/client.key",
    )


def test_a_certificate_and_a_token_are_accepted(target: str, folder: Path) -> None:
    done = lossctl(target, *LOSS, *tls(folder), f"--token_file={folder}/token")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("token", [(), ("--token_file={folder}/wrong_token",)])
def test_no_token_or_a_wrong_one_is_unauthenticated(
    target: str, folder: Path, token: tuple[str, ...]
) -> None:
    flags = [flag.format(folder=folder) for flag in token]
    done = lossctl(target, *LOSS, *tls(folder), *flags)
    assert done.returncode == 1
    assert done.stderr.startswith("lossctl: UNAUTHENTICATED: ")


def test_a_server_that_is_not_trusted_gets_no_token(target: str, folder: Path) -> None:
    done = lossctl(target, *LOSS, *tls(folder, "client"), f"--token_file={folder}/token")
    assert done.returncode == 1
    assert done.stderr.startswith("lossctl: UNAVAILABLE: ")


def test_a_call_without_certificate_or_without_tls_gets_no_answer(
    target: str, folder: Path
) -> None:
    for flags in ((f"--tls_ca={folder}/server.pem",), ()):
        done = lossctl(target, *LOSS, *flags, f"--token_file={folder}/token")
        assert done.returncode == 1
        assert done.stderr.startswith("lossctl: UNAVAILABLE: ")


# Each row has the files that the flags name, and the error with flag, file and reason.
BAD_PEM = [
    ("words", "server.key", "", "--tls_cert={}/words: has no certificate in PEM"),
    ("empty", "server.key", "", "--tls_cert={}/empty: has no certificate in PEM"),
    ("cut", "server.key", "", "--tls_cert={}/cut: has a certificate that cannot be read, number 1"),
    ("server.pem", "words", "", "--tls_key={}/words: has no private key in PEM"),
    ("server.pem", "empty", "", "--tls_key={}/empty: has no private key in PEM"),
    (
        "server.pem",
        "client.key",
        "",
        "--tls_key={}/client.key: the certificate belongs to another key",
    ),
    ("server.pem", "server.key", "words", "--tls_client_ca={}/words: has no certificate in PEM"),
    ("server.pem", "server.key", "empty", "--tls_client_ca={}/empty: has no certificate in PEM"),
    ("server.pem", "server.key", ".", "--tls_client_ca={}/.: must be a file that can be read"),
]


@pytest.mark.parametrize(("certificate", "key", "authorities", "complaint"), BAD_PEM)
def test_a_server_refuses_pem_that_no_client_could_use(
    folder: Path, certificate: str, key: str, authorities: str, complaint: str
) -> None:
    flags = [f"--tls_cert={folder}/{certificate}", f"--tls_key={folder}/{key}"]
    if authorities:
        flags.append(f"--tls_client_ca={folder}/{authorities}")
    done = subprocess.run(
        [str(BINARY_DIR / "server" / "lossd"), "--listen=127.0.0.1:0", *flags],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert complaint.format(folder) in done.stderr


CTL_PEM = [
    (("--tls_ca={0}/words",), "--tls_ca={0}/words: has no certificate in PEM"),
    (("--tls_ca={0}/empty",), "--tls_ca={0}/empty: has no certificate in PEM"),
    (("--tls_ca={0}/none",), "--tls_ca={0}/none: No such file or directory"),
    (
        ("--tls_cert={0}/words", "--tls_key={0}/client.key"),
        "--tls_cert={0}/words: has no certificate in PEM",
    ),
    (
        ("--tls_cert={0}/client.pem", "--tls_key={0}/empty"),
        "--tls_key={0}/empty: has no private key in PEM",
    ),
    (
        ("--tls_cert={0}/client.pem", "--tls_key={0}/server.key"),
        "--tls_cert={0}/client.pem --tls_key={0}/server.key: "
        "the certificate belongs to another key",
    ),
    (("--token_file={0}/none",), "--token_file={0}/none: No such file or directory"),
    (
        ("--token_file={0}/two_tokens",),
        "token: byte 3 is 0x0a, and a token is one line of printable ASCII",
    ),
]


@pytest.mark.parametrize(("flags", "complaint"), CTL_PEM)
def test_lossctl_names_flag_and_path_of_bad_pem(
    folder: Path, flags: tuple[str, ...], complaint: str
) -> None:
    done = lossctl("127.0.0.1:1", *LOSS, *(flag.format(folder) for flag in flags))
    assert done.returncode == 2
    assert done.stderr == f"lossctl: {complaint.format(folder)}\n"


def test_a_key_without_its_certificate_is_a_mistake(folder: Path) -> None:
    done = lossctl("127.0.0.1:1", *LOSS, f"--tls_key={folder}/client.key")
    assert done.returncode == 2
    assert "a certificate needs its key" in done.stderr
