"""The real server takes the flags that the chart renders, and the probes find it healthy."""

from __future__ import annotations

import socket
import subprocess
import urllib.request
from pathlib import Path

import pytest
import yaml
from chart import (
    CHART,
    EXAMPLES,
    Manifest,
    Values,
    container_of,
    flags_of,
    needs_helm,
    pod_of,
    render,
)
from running_server import BINARIES, RunningServer, running_server

pytestmark = needs_helm

SECRETS = "/run/secrets/lossd"


def example(name: str) -> Values:
    values: Values = yaml.safe_load((CHART / "examples" / f"{name}.yaml").read_text())
    return values


@pytest.fixture(scope="module", name="secrets")
def make_secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a folder with the secrets of the examples; the certificate names the service."""
    folder = tmp_path_factory.mktemp("secrets")
    for name in ("tls", "client-ca", "tokens"):
        (folder / name).mkdir()
    tls = folder / "tls"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        + ["-nodes", "-days", "2", "-subj", "/CN=lossd"]
        + ["-addext", "subjectAltName=DNS:lossd.default.svc"]
        + ["-keyout", str(tls / "tls.key"), "-out", str(tls / "tls.crt")],
        check=True,
        capture_output=True,
    )
    # The certificate is its own authority, so that clients may present it.
    (tls / "ca.crt").write_text((tls / "tls.crt").read_text())
    (folder / "client-ca" / "ca.crt").write_text((tls / "tls.crt").read_text())
    (folder / "tokens" / "tokens").write_text("one\ntwo\n")
    return folder


def arguments(manifests: list[Manifest], secrets: Path) -> list[str]:
    """Returns the rendered flags for a server on free ports of this machine, without a GPU."""
    flags = flags_of(manifests)
    for name in ("listen", "metrics_listen", "backend"):
        flags.pop(name, None)
    flags["drain_delay"] = "0s"
    if "shared_memory_socket" in flags:
        flags["shared_memory_socket"] = str(secrets / "lossd.sock")
    return [f"--{name}={value}".replace(SECRETS, str(secrets)) for name, value in flags.items()]


def page_of(server: RunningServer, name: str) -> str:
    with urllib.request.urlopen(f"http://{server.metrics}/{name}", timeout=10) as answer:
        text: str = answer.read().decode()
    return text


@pytest.mark.parametrize("name", [path.stem for path in EXAMPLES])
def test_the_server_takes_the_flags(name: str, secrets: Path) -> None:
    with running_server(*arguments(render(example(name)), secrets)) as server:
        assert page_of(server, "healthz").strip() == "serving"


def test_the_server_divides_memory_as_the_chart_says(secrets: Path) -> None:
    """The chart computes for a DaemonSet what the server computes for a limit."""
    values: Values = {"kind": "DaemonSet", "sharedMemory": {"max": "1Mi"}}
    values["resources"] = {"limits": {"memory": "513Mi"}}
    flags = flags_of(render(values))
    # RLIMIT_DATA is a limit that needs no rights; the server takes three quarters of it.
    with running_server(under=("prlimit", f"--data={(512 << 20) * 4 // 3 + 1}")) as server:
        page = page_of(server, "metrics")
    for gauge in ("max_inflight_requests", "max_inflight_bytes"):
        [line] = [row for row in page.splitlines() if row.startswith(f"lossd_{gauge} ")]
        assert float(line.split()[1]) == pytest.approx(int(flags[gauge]), rel=0.01)


def run_probe(
    manifests: list[Manifest], server: RunningServer, secrets: Path, folder: Path
) -> subprocess.CompletedProcess[str]:
    """Runs the command of the readiness probe in a name space that has the pod's hosts file."""
    command = container_of(manifests)["readinessProbe"]["exec"]["command"]
    port = server.address.rsplit(":", 1)[1]
    words = [w.replace(":50051", f":{port}").replace(SECRETS, str(secrets)) for w in command]
    words[0] = str((BINARIES / "client" / "lossctl").resolve())
    aliases = pod_of(manifests).get("hostAliases", [])
    lines = [f"{alias['ip']} {' '.join(alias['hostnames'])}" for alias in aliases]
    hosts = folder / "hosts"
    hosts.write_text("127.0.0.1 localhost\n" + "".join(f"{line}\n" for line in lines))
    script = f'mount --bind "{hosts}" /etc/hosts && exec "$@"'
    return subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def can_mount() -> bool:
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "mount", "--bind", "/etc", "/etc"],
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


needs_mount = pytest.mark.skipif(not can_mount(), reason="name spaces of mounts are not allowed")


@needs_mount
@pytest.mark.parametrize(
    "values",
    [
        {"tls": {"secret": "lossd-tls"}},
        {"tokens": {"secret": "lossd-tokens"}},
        example("mutual-tls"),
    ],
    ids=["tls", "tokens", "mutual"],
)
def test_the_exec_probe_passes(values: Values, secrets: Path, tmp_path: Path) -> None:
    manifests = render(values)
    with running_server(*arguments(manifests, secrets)) as server:
        done = run_probe(manifests, server, secrets, tmp_path)
        assert done.returncode == 0, done.stderr
        assert done.stdout == "serving\n"


@needs_mount
def test_the_exec_probe_fails_where_nobody_listens(secrets: Path, tmp_path: Path) -> None:
    manifests = render({"tls": {"secret": "lossd-tls"}})
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
    with running_server() as other:
        gone = RunningServer(address, "", other.process)
        assert run_probe(manifests, gone, secrets, tmp_path).returncode == 1
