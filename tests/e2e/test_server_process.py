"""lossd as a process reads flags, prints a ready line, obeys signals, and exits with a code."""

import os
import pathlib
import re
import signal
import socket
import subprocess
import urllib.error
import urllib.request

import grpc
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
LOSSD = pathlib.Path(os.environ.get("LOSSD_BINARY_DIR", ROOT / "build/dev")) / "server" / "lossd"
READY = re.compile(r"^lossd listening on (\S+):(\d+) metrics on (\S+):(\d+)$")
SECONDS = 30

pytestmark = pytest.mark.skipif(not LOSSD.exists(), reason=f"{LOSSD} is not built")


def run(*flags, env=None):
    return subprocess.run(
        [LOSSD, *flags],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env={**os.environ, **(env or {})},
        check=False,
    )


class Lossd:
    """Runs a server on free ports and ends it with the test."""

    def __init__(self, *flags, env=None):
        self.process = subprocess.Popen(
            [LOSSD, "--listen=127.0.0.1:0", "--metrics_listen=127.0.0.1:0", *flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(env or {})},
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        match = READY.match(line.rstrip("\n"))
        assert match, f"not the ready line: {line!r}"
        self.port, self.metrics_port = int(match[2]), int(match[4])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate(timeout=SECONDS)

    def next_line(self):
        """Returns the next line of the log that is about tokens."""
        assert self.process.stderr is not None
        while True:
            line = self.process.stderr.readline()
            assert line, "the log has ended"
            if " the tokens " in line:
                return line.rstrip("\n")

    def page(self, name):
        """Returns status and text of a page at the metrics address."""
        url = f"http://127.0.0.1:{self.metrics_port}/{name}"
        try:
            with urllib.request.urlopen(url, timeout=SECONDS) as page:
                return page.status, page.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def is_let_in(self, token):
        with grpc.insecure_channel(f"127.0.0.1:{self.port}") as channel:
            info = channel.unary_unary("/lossd.v1.LossService/GetServerInfo")
            try:
                info(b"", metadata=[("authorization", f"Bearer {token}")], timeout=SECONDS)
            except grpc.RpcError as error:
                if error.code() == grpc.StatusCode.UNAUTHENTICATED:
                    return False
                raise
            return True

    def end(self, signal_number):
        self.process.send_signal(signal_number)
        _, log = self.process.communicate(timeout=SECONDS)
        return self.process.returncode, log


def test_the_ready_line_names_ports_that_answer():
    with Lossd() as server:
        socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS).close()
        url = f"http://127.0.0.1:{server.metrics_port}/metrics"
        with urllib.request.urlopen(url, timeout=SECONDS) as page:
            assert b"lossd_inflight_requests" in page.read()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_signal_drains_and_ends_well(number):
    with Lossd() as server:
        code, log = server.end(number)
        assert code == 0
        assert f'draining signal="{number.name}"' in log
        assert "drained" in log


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP, signal.SIGPIPE])
def test_a_signal_that_asks_for_nothing_does_not_end_the_server(number):
    with Lossd() as server:
        server.process.send_signal(number)
        code, log = server.end(signal.SIGTERM)
        assert code == 0
        if number in (signal.SIGUSR1, signal.SIGUSR2):
            assert f'a signal was ignored signal="{number.name}"' in log
        if number == signal.SIGHUP:
            assert "there are no certificates or tokens to read again" in log


def test_the_pages_answer_during_the_drain_and_say_not_serving():
    # The call waits in the queue, so that the drain does too.
    with (
        Lossd("--max_queue_delay=5s") as server,
        grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        assert server.page("healthz") == (200, "serving\n")
        compute = channel.unary_unary("/lossd.v1.LossService/ComputeLoss")
        values = b"\x22\x08" + bytes(8)  # field 4 of Tensor: one float64
        call = compute.future(b"\x12\x0a" + values + b"\x1a\x0a" + values, timeout=SECONDS)
        while "lossd_inflight_requests 1" not in server.page("metrics")[1]:
            assert not call.done()
        server.process.send_signal(signal.SIGTERM)
        while server.page("healthz") != (503, "not serving\n"):
            assert not call.done()
        assert "\nlossd_serving 0\n" in server.page("metrics")[1]
        assert ">not serving</p>" in server.page("")[1]
        assert call.result()
        assert server.end(signal.SIGTERM)[0] in (0, 128 + signal.SIGTERM)


def test_hup_reads_tokens_again_and_keeps_the_old_ones_if_the_file_is_bad(tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("one\n")
    with Lossd(f"--token_file={tokens}") as server:
        tokens.write_text("")
        server.process.send_signal(signal.SIGHUP)
        assert "the tokens in use stay" in server.next_line()
        assert server.is_let_in("one")
        tokens.write_text("two\nthree\n")
        server.process.send_signal(signal.SIGHUP)
        assert re.search(r"the tokens of the file are in use .*count=2$", server.next_line())
        assert not server.is_let_in("one")
        assert server.is_let_in("two")


def test_help_says_which_source_of_flags_comes_first():
    assert "LOSSD_FLAGFILE\nnames comes first" in run("--help").stdout


def test_the_environment_sets_flags():
    with Lossd(env={"LOSSD_LOG_FORMAT": "json"}) as server:
        _, log = server.end(signal.SIGTERM)
        assert all(line.startswith("{") for line in log.splitlines())


@pytest.mark.parametrize(
    "flag",
    [
        "--nosuch=1",
        "stray",
        "--max_batch_requests=0",
        "--cpu_threads=abc",
        "--backend=tpu",
        "--log_level=loud",
        "--listen=nowhere",
        "--shared_memory_socket=" + 200 * "x",
        "--token_file=/nonexistent",
        "--drain_timeout=5",
        "--max_queue_delay=-1s",
        "--max_queue_delay=abc",
    ],
)
def test_a_bad_flag_is_one_line_and_code_2(flag):
    result = run(flag)
    assert result.returncode == 2
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert flag.split("=")[0] in result.stderr


def test_a_bad_variable_is_one_line_and_code_2():
    result = run(env={"LOSSD_RPC_THREADS": "x"})
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1
    assert "LOSSD_RPC_THREADS" in result.stderr


@pytest.mark.parametrize("flag", ["listen", "metrics_listen"])
def test_a_port_in_use_is_one_line_that_names_it(flag):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        flags = {"listen": "127.0.0.1:0", "metrics_listen": "127.0.0.1:0", flag: address}
        result = run(*(f"--{name}={value}" for name, value in flags.items()))
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert address in result.stderr


def test_a_second_server_names_the_flag_of_the_metrics_port_and_why():
    with Lossd() as first:
        address = f"127.0.0.1:{first.metrics_port}"
        result = run("--listen=127.0.0.1:0", f"--metrics_listen={address}")
    assert result.returncode == 1
    assert result.stderr == (
        f"lossd: --metrics_listen: cannot listen on {address}: Address already in use\n"
    )


def test_the_address_that_cannot_be_listened_on_is_named(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        tcp = run(
            f"--listen=127.0.0.1:{port}",
            "--metrics_listen=127.0.0.1:0",
            f"--unix_socket={tmp_path}/socket",
        )
    unix = run("--listen=127.0.0.1:0", "--metrics_listen=127.0.0.1:0", f"--unix_socket={tmp_path}")
    assert (tcp.returncode, unix.returncode) == (1, 1)
    assert tcp.stderr.startswith(f"lossd: --listen: cannot listen on 127.0.0.1:{port}: ")
    assert unix.stderr.startswith(f"lossd: --unix_socket: cannot listen on {tmp_path}: ")


def test_a_second_server_does_not_take_the_unix_socket_of_the_first(tmp_path):
    path = tmp_path / "socket"
    with Lossd(f"--unix_socket={path}"):
        second = run(
            "--listen=127.0.0.1:0", "--metrics_listen=127.0.0.1:0", f"--unix_socket={path}"
        )
        assert second.returncode == 1
        assert second.stderr.splitlines()[-1] == (
            f"lossd: --unix_socket: cannot listen on {path}: somebody listens there"
        )
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


def test_the_unix_socket_of_a_killed_server_is_replaced(tmp_path):
    path = tmp_path / "socket"
    with Lossd(f"--unix_socket={path}") as first:
        first.end(signal.SIGKILL)
    assert path.is_socket()
    with Lossd(f"--unix_socket={path}"), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_a_socket_in_a_missing_folder_names_flag_and_folder(tmp_path):
    for flag in ("--unix_socket", "--shared_memory_socket"):
        result = run(f"{flag}={tmp_path}/none/socket")
        assert result.returncode == 2
        assert f"{flag}={tmp_path}/none/socket: " in result.stderr
        assert f"{tmp_path}/none is not there" in result.stderr


def test_a_token_that_nobody_could_send_is_numbered_and_not_shown(tmp_path):
    (tmp_path / "tokens").write_text("good\n# comment\nbäd\n", encoding="utf-8")
    result = run(
        "--listen=127.0.0.1:0", "--metrics_listen=127.0.0.1:0", f"--token_file={tmp_path}/tokens"
    )
    assert result.returncode == 2
    assert result.stderr == (
        f"lossd: --token_file={tmp_path}/tokens: line 3: the token is not printable ASCII: "
        "no client can send it\n"
    )


@pytest.mark.parametrize("flag", ["--token_file", "--flagfile"])
def test_a_folder_instead_of_a_file_is_one_line_and_code_2(flag, tmp_path):
    result = run("--listen=127.0.0.1:0", "--metrics_listen=127.0.0.1:0", f"{flag}={tmp_path}")
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1
    assert f"{flag}={tmp_path}: " in result.stderr


def test_help_and_version():
    assert "--max_inflight_bytes" in run("--help").stdout
    assert run("--version").stdout.startswith("lossd ")
