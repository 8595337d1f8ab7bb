"""Records what three servers count under load, as input for promtool: recorded_load.json.

    python tools/record_load.py build/release > tests/deploy/recorded_load.json

One server gets more than it can compute for 100 seconds. One gets a request every other second,
which waits 20 ms for a batch, all the time. One gets nothing. Every five seconds their metrics
are read. It takes four and a half minutes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import lossd
import numpy as np

INTERVAL = 5  # seconds between two readings
LOADED = 100  # seconds under load
QUIET = 170  # seconds after it: more than the rule looks back
METRICS = ("lossd_queue_seconds_sum", "lossd_compute_seconds_sum", "lossd_executors")


class Server:
    """A server on free ports, with what its metrics said."""

    def __init__(self, binaries: Path, name: str, *flags: str) -> None:
        self.name = name
        self.readings: dict[str, list[float]] = {metric: [] for metric in METRICS}
        ports = ("--listen=127.0.0.1:0", "--metrics_listen=127.0.0.1:0")
        self.process = subprocess.Popen(
            [binaries / "server" / "lossd", *ports, *flags], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        words = self.process.stdout.readline().split()
        self.address, self.metrics = words[3], words[6]

    def read(self) -> None:
        with urllib.request.urlopen(f"http://{self.metrics}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        for metric in METRICS:
            found = [line for line in lines if line.startswith((f"{metric} ", f"{metric}{{"))]
            self.readings[metric].append(sum(float(line.split()[-1]) for line in found))

    def series(self) -> list[dict[str, str]]:
        labels = f'instance="{self.name}", job="lossd", namespace="default", release="lossd"'
        backend = {"lossd_compute_seconds_sum": ', backend="cpu"'}
        return [
            {
                "series": f"{metric}{{{labels}{backend.get(metric, '')}}}",
                "values": " ".join(f"{value:.6g}" for value in values),
            }
            for metric, values in self.readings.items()
        ]


def trickle(address: str, stop: threading.Event) -> None:
    logits = np.zeros(20_000, np.float32)
    with lossd.Client(address) as client:
        while not stop.wait(2):
            client.compute_loss(logits, logits)


def record(binaries: Path) -> list[Server]:
    servers = [
        Server(binaries, "busy"),
        Server(binaries, "trickle", "--max_queue_delay=20ms"),
        Server(binaries, "idle"),
    ]
    stop = threading.Event()
    thread = threading.Thread(target=trickle, args=(servers[1].address, stop))
    thread.start()
    load = subprocess.Popen(
        [
            binaries / "client" / "lossbench",
            f"--target={servers[0].address}",
            "--elements=200000",
            "--concurrency=32",
            f"--duration={LOADED}s",
            "--warmup=0s",
        ],
        stdout=subprocess.DEVNULL,
    )
    start = time.monotonic()
    for reading in range((LOADED + QUIET) // INTERVAL + 1):
        time.sleep(max(0.0, start + reading * INTERVAL - time.monotonic()))
        for server in servers:
            server.read()
    stop.set()
    thread.join()
    load.wait()
    for server in servers:
        server.process.terminate()
    return servers


def main() -> None:
    servers = record(Path(sys.argv[1]))
    series = [line for server in servers for line in server.series()]
    print(json.dumps({"interval": INTERVAL, "loaded": LOADED, "series": series}, indent=1))


if __name__ == "__main__":
    main()
