"""A server that is told to stop under load loses no call of a client that retries UNAVAILABLE.

Run by hand with a number, this ends servers so often and prints how the calls ended:
python tests/e2e/test_drain.py 200
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import urllib.request

import grpc
import numpy as np
import pytest
from lossd.v1 import loss_service_pb2, tensor_pb2
from retrying_load import RetryingLoad, retrying_load, small_request
from running_server import BINARIES, READY

SECONDS = 60  # the limit of every wait
ENDS = 6  # how often the tests end a server


class Server:
    """A server on one port that is started again after each end."""

    def __init__(self, *flags: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self._flags = flags
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [
                str(BINARIES / "server/lossd"),
                f"--listen={self.address}",
                "--metrics_listen=127.0.0.1:0",
                *self._flags,
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        ready = READY.match(self.process.stdout.readline())
        assert ready is not None
        self.metrics = ready[2]

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        code = self.process.wait(SECONDS)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.wait()


@pytest.fixture
def servers():
    started = [Server(), Server()]
    yield started
    for server in started:
        server.kill()


def wait_for_calls(load: RetryingLoad, calls: int) -> None:
    """Returns after so many more calls have ended."""
    aim = load.calls() + calls
    tick = threading.Event()
    for _ in range(SECONDS * 100):
        if load.calls() >= aim:
            return
        tick.wait(0.01)
    raise AssertionError(f"{load.calls()} of {aim} calls in {SECONDS} s")


def end_in_turns(servers: list[Server], load: RetryingLoad, times: int) -> None:
    for i in range(times):
        server = servers[i % len(servers)]
        wait_for_calls(load, 500)
        assert server.end() == 0
        server.start()
    wait_for_calls(load, 500)


def test_ending_servers_in_turns_loses_no_call(servers):
    with retrying_load([server.address for server in servers]) as load:
        end_in_turns(servers, load, ENDS)
    assert dict(load.codes) == {"OK": load.calls()}, load.errors


def test_large_requests_that_are_on_their_way_are_not_lost(servers):
    # 4 MiB a call: some are always being received when the server ends.
    with retrying_load([s.address for s in servers], threads=4, elements=1 << 19) as load:
        for i in range(ENDS):
            wait_for_calls(load, 20)
            assert servers[i % 2].end() == 0
            servers[i % 2].start()
    assert dict(load.codes) == {"OK": load.calls()}, load.errors


def test_a_client_of_one_server_sees_unavailable_alone():
    server = Server()
    channel = grpc.insecure_channel(server.address, (("grpc.enable_retries", 0),))
    compute = channel.unary_unary("/lossd.v1.LossService/ComputeLoss")
    request = small_request()
    codes: list[grpc.StatusCode | None] = []
    with channel:
        compute(request, timeout=SECONDS)
        server.process.send_signal(signal.SIGTERM)
        while not codes or codes[-1] is None or server.process.poll() is None:
            calls = [compute.future(request, timeout=SECONDS) for _ in range(64)]
            codes += [None if call.code() is grpc.StatusCode.OK else call.code() for call in calls]
    assert server.wait() == 0
    assert set(codes) - {None} == {grpc.StatusCode.UNAVAILABLE}


def bare_connection(address: str) -> socket.socket:
    """Returns a connection of HTTP/2 that the server has accepted, without a call."""
    host, _, port = address.rpartition(":")
    made = socket.create_connection((host, int(port)), timeout=SECONDS)
    made.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
    assert made.recv(1)
    return made


def part(**fields) -> bytes:
    return loss_service_pb2.StreamLossRequest(**fields).SerializeToString()


def test_an_idle_connection_ends_while_another_is_answered():
    server = Server("--drain_timeout=1h")
    floats = {name: np.zeros(8, np.float32).tobytes() for name in ("logits", "targets")}
    header = loss_service_pb2.StreamLossHeader(
        shape=[8],
        logits_dtype=tensor_pb2.DATA_TYPE_FLOAT32,
        targets_dtype=tensor_pb2.DATA_TYPE_FLOAT32,
    )
    may_finish = threading.Event()

    def parts():
        yield part(header=header)
        may_finish.wait(SECONDS)
        yield part(chunk=loss_service_pb2.StreamLossChunk(**floats))

    try:
        with grpc.insecure_channel(server.address) as channel:
            answers = channel.stream_stream("/lossd.v1.LossService/StreamLoss")(
                parts(), timeout=SECONDS
            )
            tick = threading.Event()
            while metric(server, "lossd_inflight_requests") < 1:
                tick.wait(0.01)
            idle = bare_connection(server.address)
            server.process.send_signal(signal.SIGTERM)
            while idle.recv(4096):
                pass
            idle.close()
            may_finish.set()
            assert len(list(answers)) >= 1
        assert server.wait() == 0
    finally:
        server.kill()


def metric(server: Server, name: str) -> float:
    with urllib.request.urlopen(f"http://{server.metrics}/metrics", timeout=SECONDS) as page:
        for line in page.read().decode().splitlines():
            if line.startswith(name + " "):
                return float(line.split()[1])
    raise AssertionError(f"no {name}")


def test_a_delayed_drain_says_so_and_still_accepts():
    server = Server("--drain_delay=1h")
    try:
        assert metric(server, "lossd_serving") == 1
        server.process.send_signal(signal.SIGTERM)
        tick = threading.Event()
        for _ in range(SECONDS * 100):
            if metric(server, "lossd_serving") == 0:
                break
            tick.wait(0.01)
        assert metric(server, "lossd_serving") == 0
        with grpc.insecure_channel(server.address) as channel:
            compute = channel.unary_unary("/lossd.v1.LossService/ComputeLoss")
            assert compute(small_request(), timeout=SECONDS)
            check = channel.unary_unary("/grpc.health.v1.Health/Check")
            assert check(b"", timeout=SECONDS) == b"\x08\x02"  # NOT_SERVING
        server.process.send_signal(signal.SIGTERM)  # ends the process at once
        assert server.wait() == 128 + signal.SIGTERM
    finally:
        server.kill()


def main() -> None:
    times = int(sys.argv[1])
    started = [Server(), Server()]
    try:
        with retrying_load([server.address for server in started]) as load:
            end_in_turns(started, load, times)
    finally:
        for server in started:
            server.kill()
    print(f"{times} SIGTERMs, {load.calls()} calls: {dict(load.codes)}")
    print("\n".join(load.errors))


if __name__ == "__main__":
    main()
