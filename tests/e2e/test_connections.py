"""The server accepts connections whatever happens, up to its limit, and counts them."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator

import grpc
import pytest
from retrying_load import small_request
from running_server import BINARIES, READY, RunningServer, running_server

SECONDS = 60  # the limit of every wait
SYSTEMD = shutil.which("systemd-socket-activate")

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"  # and empty SETTINGS


class Client:
    """A bare HTTP/2 connection, open until close()."""

    def __init__(self, address: str) -> None:
        if address.startswith("/"):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(SECONDS)
            self.socket.connect(address)
        else:
            host, _, port = address.rpartition(":")
            self.socket = socket.create_connection((host, int(port)), timeout=SECONDS)

    def is_served(self) -> bool:
        """Waits for the server's first frame, or for the end of the connection."""
        try:
            self.socket.sendall(PREFACE)
            return len(self.socket.recv(9)) == 9
        except (BrokenPipeError, ConnectionResetError):
            return False

    def close(self) -> None:
        self.socket.close()


class LoggingServer:
    """A server with its log."""

    def __init__(self, *flags: str) -> None:
        self.process = subprocess.Popen(
            [
                str(BINARIES / "server/lossd"),
                "--listen=127.0.0.1:0",
                "--metrics_listen=127.0.0.1:0",
                *flags,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        ready = READY.match(self.process.stdout.readline())
        assert ready is not None
        self.address, self.metrics = ready[1], ready[2]
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._lines.put(line)

    def wait_for_line(self, part: str) -> str:
        while True:
            line = self._lines.get(timeout=SECONDS)
            if part in line:
                return line

    def lines(self) -> list[str]:
        """Returns the lines that nobody has waited for. The process has ended."""
        self._reader.join()
        return list(self._lines.queue)

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(SECONDS)
        self._reader.join()
        return code


@contextlib.contextmanager
def logging_server(*flags: str) -> Iterator[LoggingServer]:
    server = LoggingServer(*flags)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.process.kill()
        server.process.communicate(timeout=SECONDS)


def compute(target: str) -> None:
    with grpc.insecure_channel(target) as channel:
        call = channel.unary_unary("/lossd.v1.LossService/ComputeLoss")
        assert call(small_request(), timeout=SECONDS)


def connections(metrics: str) -> dict[str, int]:
    with urllib.request.urlopen(f"http://{metrics}/metrics", timeout=SECONDS) as page:
        found = re.findall(
            r'^lossd_connections\{listener="(\w+)"\} (\d+)', page.read().decode(), re.M
        )
    return {listener: int(count) for listener, count in found}


def test_both_listeners_accept_again_after_descriptors_were_gone(tmp_path):
    path = f"{tmp_path}/socket"
    with logging_server(f"--unix_socket={path}") as server:
        compute(server.address)
        compute(f"unix:{path}")
        pid = server.process.pid
        soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (4, hard))
        waiting = [Client(server.address), Client(path)]
        server.wait_for_line("cannot accept connections: Too many open files")
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
        assert [client.is_served() for client in waiting] == [True, True]
        compute(server.address)
        compute(f"unix:{path}")
        for client in waiting:
            client.close()
        assert server.end() == 0


def test_the_drain_needs_no_free_descriptor(tmp_path):
    with logging_server(f"--unix_socket={tmp_path}/socket") as server:
        clients = [Client(server.address), Client(f"{tmp_path}/socket")]
        assert all(client.is_served() for client in clients)
        pid = server.process.pid
        _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (4, hard))
        assert server.end() == 0


def test_the_soft_limit_of_descriptors_is_raised_to_the_hard_one():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lower = min(soft, 256)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lower, hard))
    try:
        with running_server() as server:
            limits = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert limits == (hard, hard)


def test_connections_beyond_the_limit_are_closed_until_others_end(tmp_path):
    path = f"{tmp_path}/socket"
    with logging_server("--max_connections=2", f"--unix_socket={path}") as server:
        held = [Client(server.address), Client(path)]
        assert all(client.is_served() for client in held)
        for address in (server.address, path):
            refused = Client(address)
            assert not refused.is_served()
            refused.close()
        line = server.wait_for_line("--max_connections")
        assert "refused 1 connections: 2 are open" in line
        held.pop().close()
        tick = threading.Event()
        for _ in range(SECONDS * 100):  # a full server looks for closed ones now and then
            client = Client(path)
            if client.is_served():
                break
            client.close()
            tick.wait(0.01)
        else:
            raise AssertionError("no connection after one had ended")
        assert server.end() == 0
        warnings = [line for line in server.lines() if "refused" in line]
        assert len(warnings) <= 1 + SECONDS // 10  # far fewer than connections


def test_connections_are_counted_by_listener(tmp_path):
    path = f"{tmp_path}/socket"
    with running_server(f"--unix_socket={path}") as server:
        assert connections(server.metrics) == {"tcp": 0, "unix": 0}
        clients = [Client(a) for a in (server.address, path, path)]
        assert all(client.is_served() for client in clients)
        assert connections(server.metrics) == {"tcp": 1, "unix": 2}
        for client in clients:
            client.close()
        tick = threading.Event()
        for _ in range(SECONDS * 100):
            if connections(server.metrics) == {"tcp": 0, "unix": 0}:
                break
            tick.wait(0.01)
        assert connections(server.metrics) == {"tcp": 0, "unix": 0}


# Becomes lossd with the sockets whose numbers are given, as systemd would start it.
ACTIVATE = """
import os, sys
numbers = [int(n) for n in sys.argv[1].split(",")]
kept = [os.dup(n) for n in numbers]
kept = [os.dup2(n, 100 + i) for i, n in enumerate(kept)]
for i, n in enumerate(kept):
    os.dup2(n, 3 + i, inheritable=True)
os.environ["LISTEN_PID"] = sys.argv[2] or str(os.getpid())
os.environ["LISTEN_FDS"] = str(len(numbers))
os.environ["LISTEN_FDNAMES"] = ":".join(f"socket{i}" for i in range(len(numbers)))
os.execv(sys.argv[3], sys.argv[3:])
"""


def activated(*sockets: socket.socket, flags: tuple[str, ...] = (), pid: str = ""):
    """Starts lossd with these sockets as LISTEN_FDS."""
    numbers = [s.fileno() for s in sockets]
    return subprocess.Popen(
        [
            sys.executable,
            "-c",
            ACTIVATE,
            ",".join(map(str, numbers)),
            pid,
            str(BINARIES / "server/lossd"),
            "--metrics_listen=127.0.0.1:0",
            *flags,
        ],
        pass_fds=numbers,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ready_line(process: subprocess.Popen[str]) -> RunningServer:
    assert process.stdout is not None
    ready = READY.match(process.stdout.readline())
    assert ready is not None
    return RunningServer(ready[1], ready[2], process)


def end(process: subprocess.Popen[str]) -> int:
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=SECONDS)
    return process.returncode


def test_sockets_handed_over_are_served(tmp_path):
    path = f"{tmp_path}/socket"
    with socket.socket() as tcp, socket.socket(socket.AF_UNIX) as unix:
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        unix.bind(path)
        unix.listen()
        address = f"127.0.0.1:{tcp.getsockname()[1]}"
        # The address and the path of the flags are those of the sockets, which are in use.
        process = activated(tcp, unix, flags=(f"--listen={address}", f"--unix_socket={path}"))
        assert ready_line(process).address == address
        compute(address)
        compute(f"unix:{path}")
        assert end(process) == 0
        assert os.path.exists(path)  # it is not the server's to remove


@pytest.mark.skipif(SYSTEMD is None, reason="systemd-socket-activate is not installed")
def test_systemd_hands_over_its_sockets(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    path = f"{tmp_path}/socket"
    process = subprocess.Popen(
        [
            str(SYSTEMD),
            f"--listen={address}",
            f"--listen={path}",
            str((BINARIES / "server/lossd").absolute()),
            "--metrics_listen=127.0.0.1:0",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        for _ in range(2):
            assert process.stderr.readline().startswith("Listening on ")
        compute(address)  # this connection starts lossd
        compute(f"unix:{path}")
        assert ready_line(process).address == address
    finally:
        assert end(process) == 0


def test_a_socket_handed_over_keeps_clients_of_a_restart(tmp_path):
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(f"{tmp_path}/socket")
        unix.listen()
        first = activated(unix, flags=("--listen=127.0.0.1:0",))
        ready_line(first)
        assert end(first) == 0
        waiting = Client(f"{tmp_path}/socket")
        second = activated(unix, flags=("--listen=127.0.0.1:0",))
        ready_line(second)
        assert waiting.is_served()
        waiting.close()
        assert end(second) == 0


def test_sockets_of_another_process_are_left_alone():
    with socket.socket() as tcp:
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        process = activated(tcp, pid="1", flags=("--listen=127.0.0.1:0",))
        assert ready_line(process).address != f"127.0.0.1:{tcp.getsockname()[1]}"
        assert end(process) == 0


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_a_socket_that_cannot_be_served_is_one_line_and_code_2(kind):
    with socket.socket(socket.AF_INET, kind) as useless:
        useless.bind(("127.0.0.1", 0))
        process = activated(useless)
        _, log = process.communicate(timeout=SECONDS)
    assert process.returncode == 2
    assert log == (
        "lossd: LISTEN_FDS: descriptor 3 (socket0) must be a socket of TCP or a Unix stream "
        "socket that listens\n"
    )


def test_a_wildcard_listens_on_ipv4_and_ipv6():
    process = subprocess.Popen(
        [
            str(BINARIES / "server/lossd"),
            "--listen=0.0.0.0:0",
            "--metrics_listen=127.0.0.1:0",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    port = ready_line(process).address.rpartition(":")[2]
    try:
        compute(f"127.0.0.1:{port}")
        compute(f"[::1]:{port}")
        for taken in ("0.0.0.0", "127.0.0.1", "[::1]"):
            second = subprocess.run(
                [
                    str(BINARIES / "server/lossd"),
                    f"--listen={taken}:{port}",
                    "--metrics_listen=127.0.0.1:0",
                ],
                capture_output=True,
                text=True,
                timeout=SECONDS,
                check=False,
            )
            assert second.returncode == 1
            assert second.stderr == (
                f"lossd: --listen: cannot listen on {taken}:{port}: Address already in use\n"
            )
    finally:
        assert end(process) == 0
