"""lossbench against its echo peer counts calls and bytes and reports errors."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from running_server import running_server

CLIENT_DIR = Path(os.environ.get("LOSSD_BINARY_DIR", "build/dev")) / "client"
PEERS_DIR = CLIENT_DIR.parent / "bench" / "peers"
FLOAT32_BYTES = 4


@contextlib.contextmanager
def echo_server(*flags: str, program: str = "echo_server") -> Iterator[str]:
    process = subprocess.Popen(
        [str(PEERS_DIR / program), *flags], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    words = process.stdout.readline().split()
    assert words[:3] == [program, "listening", "on"], words
    yield words[3]
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 0


def lossbench(*flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(CLIENT_DIR / "lossbench"), *flags],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def report(target: str, *flags: str, peer: str = "echo") -> dict[str, Any]:
    """Returns the report of a run that is bounded by its number of requests."""
    done = lossbench(
        f"--target={target}", f"--peer={peer}", "--json", "--warmup=0s", "--duration=60s", *flags
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.parametrize("loop", [(), ("--rate=20000",)], ids=["closed", "open"])
@pytest.mark.parametrize("concurrency", [1, 16])
def test_as_many_calls_as_asked_are_made_and_counted(
    loop: tuple[str, ...], concurrency: int
) -> None:
    with echo_server() as target:
        result = report(
            target,
            "--requests=300",
            f"--concurrency={concurrency}",
            "--threads=2",
            "--channels=2",
            *loop,
        )
    assert result["requests"] == 300
    assert result["errors"] == {}
    assert result["reply_bytes"] == result["request_bytes"]
    latency = result["latency_us"]
    in_order = [latency[name] for name in ("p50", "p90", "p99", "p99.9", "max")]
    assert in_order == sorted(in_order)
    assert in_order[0] > 0


def test_rates_are_requests_over_time_times_their_size() -> None:
    with echo_server() as target:
        result = report(target, "--requests=50", "--elements=1000", "--targets_dtype=uint8")
    rate = result["requests"] / result["seconds"]
    assert result["requests_per_second"] == pytest.approx(rate)
    assert result["elements_per_second"] == pytest.approx(rate * 1000)
    moved = result["request_bytes"] + result["reply_bytes"]
    assert result["bytes_per_second"] == pytest.approx(rate * moved)
    # A request has logits, targets, and a few bytes of protobuf around them.
    assert 0 < result["request_bytes"] - 1000 * (FLOAT32_BYTES + 1) < 40


def test_the_peer_answers_with_as_many_bytes_as_it_is_told_to() -> None:
    with echo_server("--reply_bytes=4194400") as target:
        result = report(target, "--requests=5", "--elements=1048576")
    assert result["reply_bytes"] == 4194400


def test_the_peer_with_generated_messages_answers_with_a_gradient_as_large_as_the_logits() -> None:
    with echo_server("--calls=2", program="protobuf_echo_server") as target:
        result = report(
            target, "--requests=20", "--elements=10000", "--concurrency=8", peer="protobuf_echo"
        )
    assert result["requests"] == 20
    assert result["errors"] == {}
    assert 0 < result["reply_bytes"] - 10000 * FLOAT32_BYTES < 40


def test_a_unix_socket_works_like_a_port(tmp_path: Path) -> None:
    with echo_server(f"--listen=unix:{tmp_path}/echo.sock") as target:
        assert target.startswith("unix:")
        assert report(target, "--requests=20")["requests"] == 20


def test_a_wrong_answer_is_not_measured() -> None:
    with echo_server() as target:
        done = lossbench(f"--target={target}", "--requests=5")
    assert done.returncode == 1
    assert done.stderr.startswith("lossbench: INTERNAL: ")
    assert done.stdout == ""


TYPES = {
    "float32": 4,
    "float64": 8,
    "bfloat16": 2,
    "float16": 2,
    "float8_e4m3fn": 1,
    "float8_e5m2": 1,
}


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("gradient", TYPES)
def test_answers_of_a_real_server_are_found_right_in_every_type(dtype: str, gradient: str) -> None:
    with running_server() as server:
        done = lossbench(
            f"--target={server.address}",
            f"--dtype={dtype}",
            "--targets_dtype=bit",
            f"--gradient_dtype={gradient}",
            "--elements=5000",
            "--requests=3",
            "--warmup=0s",
            "--json",
        )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["errors"] == {}
    assert 0 <= json.loads(done.stdout)["reply_bytes"] - 5000 * TYPES[gradient] < 200


def test_no_server_is_a_failed_call() -> None:
    done = lossbench("--target=127.0.0.1:1")
    assert done.returncode == 1
    assert "UNAVAILABLE" in done.stderr


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--concurrency=0", "--concurrency=0: must be in [1, 65536]"),
        ("--concurrency=100000000", "--concurrency=100000000: must be in [1, 65536]"),
        ("--threads=0", "--threads=0: must be in [1, 1024]"),
        ("--threads=99999999999", "--threads=99999999999: must be in [1, 1024]"),
        ("--channels=0", "--channels=0: must be in [1, 1024]"),
        ("--channels=1000000", "--channels=1000000: must be in [1, 1024]"),
        ("--elements=100000000000", "--elements=100000000000: must be in [1, 67108864]"),
        ("--requests=-1", "--requests=-1: must be at least 0"),
        ("--rate=-1", "--rate=-1: must be in [0, 10000000]"),
        ("--rate=1e400", "--rate=1e400: is too large for float64"),
        ("--duration=0s", "--duration=0: must be in [1ms, 24h], such as 200us or 5s"),
        ("--duration=inf", "--duration=inf: must be in [1ms, 24h], such as 200us or 5s"),
        ("--warmup=-1s", "--warmup=-1s: must be in [0, 24h], such as 200us or 5s"),
        ("--timeout=inf", "--timeout=inf: must be in [1ms, 24h], such as 200us or 5s"),
        ("--dtype=int8", 'dtype "int8" is not one that lossbench sends'),
        ("--elements=0", "--elements=0: must be in [1, 67108864]"),
        ("--peer=nobody", '--peer: "nobody" is none of echo, protobuf_echo and triton'),
        ("word", "word is not a flag; see --help"),
    ],
)
def test_bad_usage_exits_with_2_and_one_line(flag: str, message: str) -> None:
    done = lossbench(flag)
    assert done.returncode == 2
    assert done.stderr == f"lossbench: {message}\n"


@pytest.mark.parametrize("load", [(), ("--concurrency=16", "--channels=2")], ids=["one", "many"])
def test_a_session_answers_as_many_requests_as_asked(load: tuple[str, ...]) -> None:
    with running_server() as server:
        result = report(
            server.address, "--session", "--requests=500", "--elements=64", *load, peer=""
        )
    assert result["requests"] == 500
    assert result["errors"] == {}
    assert result["reply_bytes"] == 64 * FLOAT32_BYTES


def test_sessions_may_have_several_servers() -> None:
    with running_server() as one, running_server() as another:
        target = f"{one.address},{another.address}"
        result = report(target, "--session", "--channels=2", "--requests=500", peer="")
    assert result["requests"] == 500
    assert result["errors"] == {}


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("a:1,b:1", "--target: several servers only with --session"),
        ("a:1,", 'target: "" in a list of servers must be HOST:PORT or [IPv6]:PORT'),
        ("a", 'target: "a" must be HOST:PORT, [IPv6]:PORT or unix:/path'),
    ],
)
def test_a_bad_target_exits_with_2_and_one_line(target: str, message: str) -> None:
    done = lossbench(f"--target={target}")
    assert done.returncode == 2
    assert done.stderr == f"lossbench: {message}\n"


@pytest.mark.parametrize("other", ["--rate=5", "--peer=echo", "--stream"])
def test_a_session_is_no_other_load(other: str) -> None:
    done = lossbench("--session", other)
    assert done.returncode == 2
    assert done.stderr == "lossbench: --session: not with --rate, --peer or --stream\n"


@pytest.mark.parametrize(("flag", "most"), [("elements", 1 << 40), ("concurrency", 1024)], ids=str)
def test_a_stream_has_limits_of_its_own(flag: str, most: int) -> None:
    done = lossbench("--stream", f"--{flag}={most + 1}")
    assert done.returncode == 2
    assert done.stderr == f"lossbench: --{flag}={most + 1}: must be in [1, {most}]\n"


@pytest.mark.parametrize("program", ["echo_server", "protobuf_echo_server"])
@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--threads=0", "--threads=0: must be in [1, 1024]"),
        ("--calls=10000000000", "--calls=10000000000: must be in [1, 65536]"),
        ("word", "word is not a flag; see --help"),
    ],
)
def test_bad_usage_of_a_peer_exits_with_2_and_one_line(
    program: str, flag: str, message: str
) -> None:
    done = subprocess.run(
        [str(PEERS_DIR / program), flag], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert done.stderr == f"{program}: {message}\n"
