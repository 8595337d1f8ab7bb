"""A real Prometheus, for tests: the distribution's package, on a free port.

What it scrapes goes through a ScrapeGate where a test has to know when a scrape is stored.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

TIMEOUT = 30  # seconds, the limit of every wait


class Program:
    """A child process whose output is read line by line."""

    def __init__(self, arguments: list[str]) -> None:
        self._process = subprocess.Popen(
            arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self._changed = threading.Condition()
        self._text = ""
        self._ended = False
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._changed:
                self._text += line
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def wait_for(self, pattern: str) -> re.Match[str]:
        with self._changed:
            self._changed.wait_for(lambda: self._ended or re.search(pattern, self._text), TIMEOUT)
            found = re.search(pattern, self._text)
            assert found is not None, f"no {pattern!r} in {self._text}"
            return found

    def stop(self) -> int:
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(timeout=60)
        self._reader.join()
        return code


class ScrapeGate:
    """Forwards scrapes to a /metrics page and counts them."""

    def __init__(self, target: str) -> None:
        self._changed = threading.Condition()
        self._scrapes = 0
        page = f"http://{target}/metrics"
        gate = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                gate._count()
                with urllib.request.urlopen(page, timeout=TIMEOUT) as metrics:
                    body = metrics.read()
                self.send_response(200)
                self.send_header("Content-Type", metrics.headers["Content-Type"])
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def _count(self) -> None:
        with self._changed:
            self._scrapes += 1
            self._changed.notify_all()

    def wait_for_stored_scrape(self) -> None:
        """Waits until a scrape that begins from now on is in Prometheus's storage.

        Prometheus stores what it has scraped before it scrapes the same target again.
        """
        with self._changed:
            wanted = self._scrapes + 2
            assert self._changed.wait_for(lambda: self._scrapes >= wanted, TIMEOUT)

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Prometheus:
    """A running Prometheus that scrapes addresses as the job lossd, five times a second."""

    def __init__(self, targets: Sequence[str], folder: Path) -> None:
        config = folder / "prometheus.yml"
        # Every JSON document is also YAML.
        scrape = {"job_name": "lossd", "static_configs": [{"targets": list(targets)}]}
        config.write_text(
            json.dumps({"global": {"scrape_interval": "200ms"}, "scrape_configs": [scrape]})
        )
        self.program = Program(
            [
                "prometheus",
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'data'}",
                "--web.listen-address=127.0.0.1:0",
            ]
        )
        listening = self.program.wait_for(r'"Listening on" address=(127\.0\.0\.1:[1-9]\d*)')
        self._base = f"http://{listening.group(1)}"
        self.program.wait_for("Server is ready to receive web requests")

    def get(self, path: str, **parameters: str) -> dict[str, Any]:
        """Returns the answer of a page of the API, also one that refuses."""
        url = f"{self._base}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT) as reply:
                answer: dict[str, Any] = json.load(reply)
        except urllib.error.HTTPError as refusal:
            answer = json.load(refusal)
        return answer

    def values(self, query: str, at: float | None = None) -> list[float]:
        """Returns the values of the query's series at that time, or now."""
        when = {} if at is None else {"time": str(at)}
        answer = self.get("query", query=query, **when)
        assert answer["status"] == "success", f"{query}: {answer}"
        return [float(series["value"][1]) for series in answer["data"]["result"]]

    def value(self, query: str, at: float) -> float:
        """Returns the value of the query's first series, or NaN without one."""
        return next(iter(self.values(query, at)), float("nan"))
