"""Uses the packages as a new user of a clean system would, and then wrongly.

`trial.py FOLDER` is run by tools/packages/try.sh in a root of its own, as root: the folder has the
wheel, the .deb, client/python and proto. Each step is a line; the first that fails ends it.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path(sys.argv[1])
WHEEL = next(FOLDER.glob("*.whl"))
DEB = next(FOLDER.glob("*.deb"))
VENV = Path("/root/venv")
REQUEST = ("--logits=0.5,-1", "--targets=1,0")
LOSS = "0.39366933703422546"  # that of REQUEST, in each bit
READY = re.compile(r"lossd listening on (\S+) metrics on (\S+)")
ON_FREE_PORTS = ("--listen=127.0.0.1:0", "--metrics_listen=127.0.0.1:0")

CLIENT = """
import sys, numpy, lossd
with lossd.Client(sys.argv[1]) as client:
    print(client.compute_loss(numpy.array([0.5, -1], "f4"), numpy.array([1, 0], "u1")).loss)
"""


def run(*command: str | Path, code: int = 0) -> str:
    """Runs a command, which must end with the code, and returns all that it printed."""
    done = subprocess.run(
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        check=False,
    )
    if done.returncode != code:
        print(done.stdout)
        raise SystemExit(f"{' '.join(map(str, command))} ended with {done.returncode}, not {code}")
    return done.stdout


def step(text: str, printed: str = "", expected: str = "") -> None:
    """Says that a step is done, unless what was printed lacks what was expected."""
    if expected not in printed:
        raise SystemExit(f"FAILED {text}: no {expected!r} in {printed!r}")
    shown = [line.strip() for line in printed.splitlines() if expected and expected in line]
    print(f"ok  {text}" + (f": {shown[0][:120]}" if shown else ""))


@contextlib.contextmanager
def serving(*command: str | Path) -> Iterator[tuple[str, str]]:
    """Runs a server, yields its addresses, and expects code 0 after SIGTERM."""
    words = [str(word) for word in command]
    with (FOLDER / "server.log").open("a") as log:
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=log, text=True)
    assert process.stdout is not None
    ready = READY.search(process.stdout.readline())
    assert ready, f"{words} did not become ready"
    try:
        yield ready[1], ready[2]
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0, f"{words} ended with {process.returncode}"


def ask(bin_folder: Path, address: str) -> None:
    """Asks a server with lossctl."""
    lossctl = bin_folder / "lossctl"
    step("health", run(lossctl, "health", f"--target={address}"), "serving")
    step("a loss", run(lossctl, f"--target={address}", *REQUEST), LOSS)


def programs(bin_folder: Path) -> None:
    """Runs the three programs in a folder."""
    for program in ("lossd", "lossctl"):
        step(f"{program} --version", run(bin_folder / program, "--version"), "0.")
    with serving(bin_folder / "lossd", *ON_FREE_PORTS) as (address, metrics):
        ask(bin_folder, address)
        port = address.split(":")[1]
        for name in (f"localhost:{port}", f"dns:///localhost:{port}"):
            step(
                f"health of {name}",
                run(bin_folder / "lossctl", "health", f"--target={name}"),
                "serving",
            )
        with urllib.request.urlopen(f"http://{metrics}/metrics", timeout=30) as page:
            step("metrics", page.read().decode(), "lossd_requests_total")
        watched = run(bin_folder / "lossctl", "watch", metrics, "--count=1", "--json")
        step("lossctl watch", watched, "{")
        load = ("--elements=64", "--concurrency=2", "--duration=1s", "--json")
        step(
            "lossbench", run(bin_folder / "lossbench", f"--target={address}", *load), '"errors": {}'
        )
        twice = run(
            bin_folder / "lossd", f"--listen={address}", "--metrics_listen=127.0.0.1:0", code=1
        )
        step("a port in use is refused", twice, port)
    wrong = run(bin_folder / "lossd", "--listen=nowhere", code=2)
    step("a wrong flag is refused", wrong, "--listen=nowhere")
    with_tls(bin_folder)


def with_tls(bin_folder: Path) -> None:
    """Serves TLS with a certificate of its own, which the client is told."""
    key, certificate = FOLDER / "key.pem", FOLDER / "certificate.pem"
    made = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2")
    name = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")
    run(*made, *name, "-keyout", key, "-out", certificate)
    flags = (f"--tls_cert={certificate}", f"--tls_key={key}")
    with serving(bin_folder / "lossd", *ON_FREE_PORTS, *flags) as (address, _):
        target = f"--target=localhost:{address.split(':')[1]}"
        answer = run(bin_folder / "lossctl", target, f"--tls_ca={certificate}", *REQUEST)
        step("a loss by TLS", answer, LOSS)


def refused_wheel() -> None:
    """Expects pip and apt to refuse the packages, because glibc is too old."""
    answer = run(VENV / "bin/pip", "install", WHEEL, code=1)
    step("pip refuses the wheel", answer, "is not a supported wheel on this platform")
    answer = run("apt-get", "-y", "install", DEB, code=100)
    step("apt refuses the .deb", answer, "libc6")


def wheel() -> None:
    pip, bin_folder = VENV / "bin/pip", VENV / "bin"
    other = FOLDER / WHEEL.name.replace("x86_64", "aarch64")
    shutil.copy(WHEEL, other)
    answer = run(pip, "install", other, code=1)
    step("pip refuses a wheel of another machine", answer, "is not a supported wheel")
    run(pip, "install", WHEEL)
    step("pip installs the wheel")
    asked = "import lossd_server; print(lossd_server.path('lossd'))"
    program = run(bin_folder / "python", "-c", asked).strip()
    libraries = {Path(line.split()[0]).name for line in run("ldd", program).splitlines()}
    rest = libraries - {"linux-vdso.so.1", "libc.so.6", "libm.so.6", "ld-linux-x86-64.so.2"}
    assert not rest, f"lossd loads {rest}"
    step("lossd loads glibc alone")
    info = next(VENV.glob("lib/*/site-packages/lossd_server-*.dist-info"))
    assert (info / "sboms/lossd.cdx.json").is_file()
    assert (info / "licenses/licenses/grpc.copyright").is_file()
    step("its dist-info has the list of contents and the licences")
    programs(bin_folder)
    run(pip, "install", FOLDER / "client/python")
    with serving(bin_folder / "lossd", *ON_FREE_PORTS) as (address, _):
        step("a loss in Python", run(bin_folder / "python", "-c", CLIENT, address), LOSS)
    Path(program).chmod(0o644)
    step("a program without its bit", run(bin_folder / "lossd", code=126), "Permission denied")
    run(pip, "uninstall", "-y", "lossd-server")
    assert not Path(program).exists()
    step("pip uninstalls the wheel")


def package() -> None:
    os.environ["DEBIAN_FRONTEND"] = "noninteractive"
    run("apt-get", "-y", "--no-install-recommends", "install", DEB)
    step("apt installs the .deb", run("getent", "passwd", "lossd"), "nologin")
    unit = Path("/usr/lib/systemd/system/lossd.service")
    run("systemd-analyze", "verify", unit)
    step("systemd accepts the unit")
    enabled = Path("/etc/systemd/system/multi-user.target.wants/lossd.service")
    assert enabled.is_symlink()
    step("the unit is enabled")
    programs(Path("/usr/bin"))
    as_user = ("setpriv", "--reuid=lossd", "--regid=lossd", "--clear-groups")
    flags = "--flagfile=/etc/lossd/lossd.flags"
    with serving(*as_user, "/usr/bin/lossd", flags) as (address, _):
        ask(Path("/usr/bin"), address)
    conffile = Path("/etc/lossd/lossd.flags")
    conffile.write_text(conffile.read_text() + "--log_level=debug\n")
    run("apt-get", "-y", "install", "--reinstall", DEB)
    step("a changed conffile stays", conffile.read_text(), "--log_level=debug")
    run("apt-get", "-y", "purge", "lossd")
    assert not conffile.exists()
    assert not enabled.is_symlink()
    step("apt purges it")


def main() -> None:
    run(sys.executable, "-m", "venv", VENV)
    with socket.create_server(("127.0.0.1", 0)):
        pass  # loopback works, else every step below would fail for another reason
    glibc = tuple(map(int, platform.libc_ver()[1].split(".")))
    if glibc < (2, 36):
        refused_wheel()
        return
    wheel()
    package()


if __name__ == "__main__":
    main()
