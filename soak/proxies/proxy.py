"""A real proxy in front of servers, with the configuration that the project ships."""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from soak.server import PATIENCE, free_port, wait_until

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
# The names of servers in the files of deploy/.
NAMES = ("lossd-a", "lossd-b", "lossd-c")
TLS_LINE = re.compile(r"^( *)#tls ", re.MULTILINE)


class NoProxy(RuntimeError):
    """A proxy is not installed; the text says which one."""


@dataclass(frozen=True)
class Backend:
    """Where a server listens; each HOST:PORT."""

    address: str
    metrics: str


@dataclass(frozen=True)
class Kind:
    """A proxy as the project ships it."""

    name: str
    file: Path
    program: str
    version: tuple[str, ...]  # arguments that print it
    check: Callable[[Path], list[str]]  # arguments that judge a file
    run: Callable[[Path], list[str]]  # arguments that serve with a file
    goes_on_without: signal.Signals  # ends it

    def found(self, folders: Sequence[Path] = ()) -> str:
        """Returns the program's path; NoProxy if there is none in the folders or on the PATH."""
        path = ":".join([*map(str, folders), "/usr/sbin"])
        found = shutil.which(self.program, path=path) or shutil.which(self.program)
        if found is None:
            raise NoProxy(f"{self.name} is not installed")
        return found

    def version_of(self, program: str) -> str:
        """Returns the name and the version, such as "Envoy 1.40.0"."""
        asked = subprocess.run([program, *self.version], capture_output=True, text=True, check=True)
        found = re.search(r"\d+\.\d+\.\d+", asked.stdout + asked.stderr)
        return f"{self.name} {found[0] if found else '?'}"

    def configured(self, backends: Sequence[Backend], port: int, *, tls: bool = False) -> str:
        """Returns the shipped file with the addresses of these servers, listening at `port`.

        With `tls`, the lines that are comments there for those who want it are in use.
        """
        text = self.file.read_text()
        if tls:
            text = TLS_LINE.sub(r"\1", text)
        for name, backend in zip(NAMES, backends, strict=True):
            host, number = backend.address.rsplit(":", 1)
            text = text.replace(
                f"address: {name}, port_value: 50051", f"address: {host}, port_value: {number}"
            )
            checked = backend.metrics.rsplit(":", 1)[1]
            text = re.sub(
                rf"(  server \w) {name}:50051$",
                rf"\1 {backend.address} port {checked}",
                text,
                flags=re.MULTILINE,
            )
            text = text.replace(f"{name}:50051", backend.address)
        text = text.replace(
            "address: 0.0.0.0, port_value: 50050", f"address: 127.0.0.1, port_value: {port}"
        )
        text = text.replace("0.0.0.0:50050", f"127.0.0.1:{port}")
        return text.replace("port_value: 9901", "port_value: 0")


KINDS = {
    "envoy": Kind(
        "Envoy",
        DEPLOY / "envoy" / "envoy.yaml",
        "envoy",
        ("--version",),
        lambda file: ["--mode", "validate", "-c", str(file), "--log-level", "warning"],
        lambda file: ["-c", str(file), "--log-level", "warning", "--use-dynamic-base-id"],
        signal.SIGTERM,
    ),
    "nginx": Kind(
        "nginx",
        DEPLOY / "nginx" / "nginx.conf",
        "nginx",
        ("-v",),
        lambda file: [
            "-t", "-p", str(file.parent), "-c", str(file), "-g", f"pid {file.parent}/pid;",
        ],
        lambda file: [
            "-p", str(file.parent), "-c", str(file),
            "-g", f"daemon off; pid {file.parent}/pid; error_log stderr;",
        ],
        signal.SIGTERM,
    ),
    "haproxy": Kind(
        "HAProxy",
        DEPLOY / "haproxy" / "haproxy.cfg",
        "haproxy",
        ("-v",),
        lambda file: ["-c", "-f", str(file)],
        lambda file: ["-f", str(file), "-db"],
        signal.SIGTERM,
    ),
}  # fmt: skip


@contextlib.contextmanager
def running_proxy(
    kind: Kind, program: str, backends: Sequence[Backend], folder: Path, *, tls: bool = False
) -> Iterator[str]:
    """Runs the proxy before the servers and returns its HOST:PORT; RuntimeError if it ends."""
    port = free_port()
    folder = folder.resolve()
    file = folder / kind.file.name
    file.write_text(kind.configured(backends, port, tls=tls))
    log = folder / f"{kind.program}.log"
    with log.open("a") as output:
        process = subprocess.Popen([program, *kind.run(file)], stdout=output, stderr=output)
    try:
        waited = wait_until(lambda: process.poll() is not None or listens(port))
        if process.poll() is not None or waited == float("inf"):
            raise RuntimeError(f"{kind.name} does not serve; see {log}")
        yield f"127.0.0.1:{port}"
        if process.poll() is not None:
            raise RuntimeError(f"{kind.name} has ended; see {log}")
    finally:
        process.send_signal(kind.goes_on_without)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
