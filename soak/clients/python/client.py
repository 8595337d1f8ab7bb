"""Calls or watches lossd with grpcio; ../README.md says how it is used."""

from __future__ import annotations

import json
import random
import sys
import threading
from collections import Counter
from pathlib import Path

import grpc

COMPUTE = "/lossd.v1.LossService/ComputeLoss"
WATCH = "/grpc.health.v1.Health/Watch"
WORKERS = 8
DEADLINE = 30  # seconds
PING_MS = 10_000


def load(addresses: str, config: str, folder: str) -> dict[str, object]:
    samples = [
        tuple(path.with_suffix(part).read_bytes() for part in (".request", ".start", ".end"))
        for path in Path(folder).glob("*.request")
    ]
    options = [("grpc.service_config", Path(config).read_text())]
    seen: Counter[str] = Counter()
    codes: Counter[str] = Counter()
    texts: dict[str, str] = {}
    lock = threading.Lock()  # guards the three above
    ended = threading.Event()

    def work(call: grpc.UnaryUnaryMultiCallable) -> None:
        while not ended.is_set():
            message, start, end = random.choice(samples)
            with lock:
                seen["sent"] += 1
            try:
                reply = call(message, timeout=DEADLINE)
                right = reply.startswith(start) and reply.endswith(end)
            except grpc.RpcError as error:
                with lock:
                    seen["calls"] += 1
                    codes[error.code().name] += 1
                    texts[error.code().name] = error.details()
            else:
                with lock:
                    seen["calls"] += 1
                    seen["wrong"] += not right

    with grpc.insecure_channel(f"ipv4:{addresses}", options) as channel:
        call = channel.unary_unary(COMPUTE)
        workers = [threading.Thread(target=work, args=(call,)) for _ in range(WORKERS)]
        for worker in workers:
            worker.start()
        sys.stdin.read()
        ended.set()
        for worker in workers:
            worker.join()
    counts = {name: seen[name] for name in ("sent", "calls", "wrong")}
    return {**counts, "codes": codes, "texts": texts}


def watch(address: str) -> dict[str, object]:
    # Without the last option grpcio stops after two pings in a row without data.
    options = [
        ("grpc.keepalive_time_ms", PING_MS),
        ("grpc.keepalive_timeout_ms", PING_MS),
        ("grpc.http2.max_pings_without_data", 0),
    ]
    messages: list[bytes] = []
    ends: list[str] = []

    def read(stream: grpc.Call) -> None:
        try:
            messages.extend(stream)
        except grpc.RpcError as error:
            ends.append(str(error.details()))

    with grpc.insecure_channel(address, options) as channel:
        stream = channel.unary_stream(WATCH)(b"")
        reader = threading.Thread(target=read, args=(stream,))
        reader.start()
        sys.stdin.read()
        ended = ends[0] if ends else ""
        stream.cancel()
        reader.join()
    return {"messages": len(messages), "ended": ended}


if __name__ == "__main__":
    seen = load(*sys.argv[2:]) if sys.argv[1] == "load" else watch(*sys.argv[2:])
    print(json.dumps({"version": grpc.__version__, **seen}))
