"""Makes the secrets that the example of mutual TLS names."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

from tools.cluster.processes import RUN, run


def make_certificates(folder: Path, service: str) -> None:
    """Writes an authority, and a certificate of it that serves as server's and client's."""
    folder.mkdir(parents=True, exist_ok=True)
    names = f"subjectAltName=DNS:{service}.default.svc,DNS:{service}"
    (folder / "names").write_text(f"{names}\nextendedKeyUsage=serverAuth,clientAuth\n")
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
        "-nodes", "-days", "2", "-subj", "/CN=authority", "-keyout", folder / "ca.key",
        "-out", folder / "ca.crt")  # fmt: skip
    run("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
        "-subj", f"/CN={service}", "-keyout", folder / "tls.key", "-out",
        folder / "tls.csr")  # fmt: skip
    run("openssl", "x509", "-req", "-days", "2", "-in", folder / "tls.csr", "-CA",
        folder / "ca.crt", "-CAkey", folder / "ca.key", "-CAcreateserial", "-extfile",
        folder / "names", "-out", folder / "tls.crt")  # fmt: skip


def make_secrets(service: str, kubectl: Callable[..., str]) -> None:
    folder = RUN / "secrets"
    make_certificates(folder, service)
    (folder / "tokens").write_text(secrets.token_hex(16) + "\n")

    def create(name: str, *files: str) -> None:
        sources = [f"--from-file={file}={folder / file}" for file in files]
        kubectl("create", "secret", "generic", name, *sources)

    create("lossd-tls", "tls.crt", "tls.key", "ca.crt")
    create("lossd-clients", "ca.crt")
    create("lossd-tokens", "tokens")
