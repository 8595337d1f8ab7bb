"""Runs etcd, the API server, the controllers, the scheduler and DNS on the host."""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Iterator
from pathlib import Path

from tools.cluster.network import HOST
from tools.cluster.processes import BIN, RUN, program, run, succeeds, wait_for

API = f"https://{HOST}:6443"
DOMAIN = "cluster.local"
CONFIG = RUN / "kubeconfig"


def kubectl(*arguments: str, stdin: str | None = None, check: bool = True) -> str:
    return run("kubectl", f"--kubeconfig={CONFIG}", *arguments, stdin=stdin, check=check)


def write_credentials() -> None:
    """Writes a token that may do everything, and the configuration of clients with it."""
    token = secrets.token_hex(16)
    (RUN / "tokens.csv").write_text(f'{token},admin,admin,"system:masters"\n')
    (RUN / "tokens.csv").chmod(0o600)
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        # The API server makes its certificate itself.
        "clusters": [{"name": "c", "cluster": {"server": API, "insecure-skip-tls-verify": True}}],
        "users": [{"name": "u", "user": {"token": token}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    CONFIG.write_text(json.dumps(config))
    CONFIG.chmod(0o600)
    run("openssl", "genrsa", "-out", RUN / "accounts.key", "2048")


def api_server() -> list[str | Path]:
    return [
        BIN / "kube-apiserver",
        "--etcd-servers=http://127.0.0.1:23790",
        "--bind-address=0.0.0.0",
        "--secure-port=6443",
        f"--advertise-address={HOST}",
        f"--cert-dir={RUN / 'certificates'}",
        f"--token-auth-file={RUN / 'tokens.csv'}",
        "--authorization-mode=RBAC",
        f"--service-account-issuer={API}",
        f"--service-account-key-file={RUN / 'accounts.key'}",
        f"--service-account-signing-key-file={RUN / 'accounts.key'}",
        "--service-cluster-ip-range=10.214.0.0/24",
        "--endpoint-reconciler-type=none",
        "--kubelet-preferred-address-types=InternalIP",
        "--profiling=false",
    ]


def controllers() -> list[str | Path]:
    return [
        BIN / "kube-controller-manager",
        f"--kubeconfig={CONFIG}",
        f"--service-account-private-key-file={RUN / 'accounts.key'}",
        f"--root-ca-file={RUN / 'certificates' / 'apiserver.crt'}",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        # A node that has gone is noticed sooner than the default of 50 s.
        "--node-monitor-grace-period=20s",
    ]


def write_dns() -> Path:
    file = RUN / "Corefile"
    file.write_text(
        f".:53 {{\n  bind {HOST}\n  errors\n  ready {HOST}:8181\n"
        f"  kubernetes {DOMAIN} {{\n    kubeconfig {CONFIG}\n  }}\n}}\n"
    )
    return file


@contextlib.contextmanager
def control_plane() -> Iterator[None]:
    """Starts the parts in their order, and waits until each serves."""
    write_credentials()
    etcd: list[str | Path] = [
        "etcd",
        f"--data-dir={RUN / 'etcd'}",
        "--listen-client-urls=http://127.0.0.1:23790",
        "--advertise-client-urls=http://127.0.0.1:23790",
        "--listen-peer-urls=http://127.0.0.1:23800",
        "--unsafe-no-fsync",
    ]
    scheduler: list[str | Path] = [
        BIN / "kube-scheduler",
        f"--kubeconfig={CONFIG}",
        "--leader-elect=false",
    ]
    with contextlib.ExitStack() as parts:
        parts.enter_context(program("etcd", etcd))
        parts.enter_context(program("kube-apiserver", api_server()))
        wait_for("the API server", lambda: "ok" in kubectl("get", "--raw=/readyz", check=False))
        parts.enter_context(program("kube-controller-manager", controllers()))
        parts.enter_context(program("kube-scheduler", scheduler))
        dns = parts.enter_context(program("dns", [BIN / "dns", "-conf", write_dns()]))
        account = ("get", "serviceaccount", "default")
        wait_for("the controllers", lambda: succeeds("kubectl", f"--kubeconfig={CONFIG}", *account))
        wait_for("DNS", lambda: succeeds("curl", "-sf", f"http://{HOST}:8181/ready"), of=dns)
        yield
