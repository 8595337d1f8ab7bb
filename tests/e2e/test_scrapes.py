"""Real Prometheus and VictoriaMetrics lose none of a hundred scrapes, over IPv4 and IPv6."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from running_server import running_server

SCRAPES = 100
JOBS = 10  # each has connections of its own
PAUSE = threading.Event()  # is never set: wait() pauses between two questions
QUESTIONS = 1200


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def fetch(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=10) as page:
            return str(page.read().decode())
    except (urllib.error.URLError, ConnectionError):
        return ""  # it does not listen yet


class Scraper:
    """A monitoring system that scrapes one target ten times a second, as ten jobs."""

    def __init__(self, target: str, folder: Path) -> None:
        self.base = f"http://127.0.0.1:{free_port()}"
        self.config = folder / "scrape.yml"
        self.config.write_text(
            json.dumps(
                {
                    "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
                    "scrape_configs": [
                        {"job_name": f"lossd{job}", "static_configs": [{"targets": [target]}]}
                        for job in range(JOBS)
                    ],
                }
            )
        )
        self.folder = folder

    def command(self) -> list[str]:
        raise NotImplementedError

    def counts(self) -> tuple[int, int]:
        """Returns how many scrapes there were, and how many of them failed."""
        raise NotImplementedError

    @contextmanager
    def running(self) -> Iterator[None]:
        with (self.folder / "log").open("w") as log:
            process = subprocess.Popen(self.command(), stdout=log, stderr=log)
            try:
                yield
            finally:
                process.terminate()
                process.wait(timeout=60)

    def failures(self) -> int:
        """Waits for all scrapes, and returns the number of those that failed."""
        for _ in range(QUESTIONS):
            scrapes, failed = self.counts()
            if scrapes >= SCRAPES:
                return failed
            PAUSE.wait(0.1)
        raise AssertionError(f"{self.counts()} scrapes; {(self.folder / 'log').read_text()}")


class Prometheus(Scraper):
    def command(self) -> list[str]:
        return [
            "prometheus",
            f"--config.file={self.config}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            f"--web.listen-address={self.base.removeprefix('http://')}",
        ]

    def counts(self) -> tuple[int, int]:
        def value(query: str) -> int:
            text = fetch(f"{self.base}/api/v1/query?" + urllib.parse.urlencode({"query": query}))
            result = json.loads(text)["data"]["result"] if text.startswith("{") else []
            return int(result[0]["value"][1]) if result else 0

        failed = value("sum(count_over_time(up[1h]) - sum_over_time(up[1h]))")
        return value("sum(count_over_time(up[1h]))"), failed


class VictoriaMetrics(Scraper):
    def command(self) -> list[str]:
        return [
            "victoria-metrics",
            f"-promscrape.config={self.config}",
            f"-storageDataPath={self.folder / 'data'}",
            f"-httpListenAddr={self.base.removeprefix('http://')}",
            "-enableTCP6",
        ]

    def counts(self) -> tuple[int, int]:
        page = fetch(f"{self.base}/metrics")

        def value(name: str) -> int:
            found = re.search(rf"^{re.escape(name)} (\d+)$", page, re.MULTILINE)
            return int(found[1]) if found else 0

        failed = value("vm_promscrape_scrapes_failed_total")
        return value('vm_promscrape_scrapes_total{status_code="200"}') + failed, failed


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
@pytest.mark.parametrize(
    "scraper",
    [
        pytest.param(Prometheus, marks=needs("prometheus")),
        pytest.param(VictoriaMetrics, marks=needs("victoria-metrics")),
    ],
)
def test_no_scrape_is_lost(scraper: type[Scraper], host: str, tmp_path: Path) -> None:
    with running_server(f"--metrics_listen={host}:0") as server:
        monitor = scraper(server.metrics, tmp_path)
        with monitor.running():
            assert monitor.failures() == 0
