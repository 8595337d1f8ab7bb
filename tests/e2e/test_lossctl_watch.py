"""lossctl watch shows what a server does, and says what is wrong with its metrics page."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import random
import re
import signal
import socket
import subprocess
import termios
import threading
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import lossd
import numpy as np
import pytest
from running_server import BINARIES, running_server

LOSSCTL = str(BINARIES / "client" / "lossctl")
INFO = 'lossd_build_info{version="9.8",backend="cpu/TEST"} 1\n'
Page = Callable[[], tuple[int, str]]


def page(text: str, status: int = 200) -> Page:
    return lambda: (status, text)


@contextlib.contextmanager
def serving(pages: Sequence[Page]) -> Iterator[str]:
    """Serves one page after the other at an address; the last one again and again."""
    left = list(pages)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, text = left[0]() if len(left) == 1 else left.pop(0)()
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def watch(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LOSSCTL, "watch", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def reports(*pages: Page) -> list[dict[str, Any]]:
    """Returns the objects of an interval for each page but the first."""
    with serving(pages) as address:
        done = watch(address, "--interval=100ms", f"--count={len(pages) - 1}", "--json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_calls_of_an_interval_are_those_that_a_server_answered() -> None:
    with running_server("--backend=cpu") as server:

        def metrics() -> tuple[int, str]:
            with urllib.request.urlopen(f"http://{server.metrics}/metrics", timeout=30) as reply:
                return 200, reply.read().decode()

        def metrics_after_calls() -> tuple[int, str]:
            with lossd.Client(server.address) as client:
                for _ in range(7):
                    client.compute_loss(np.zeros((2, 5), np.float32), np.zeros((2, 5)))
                with pytest.raises(lossd.LossdError):
                    client.compute_loss(np.full(3, np.nan), np.zeros(3))
            # A call is counted after its reply, so the page may lag behind.
            for _ in range(5000):
                status, text = metrics()
                ended = re.findall(r'requests_total{method="ComputeLoss",code="\w+"} (\d+)', text)
                if sum(map(int, ended)) == 8:
                    break
            return status, text

        (report,) = reports(metrics, metrics_after_calls)
    seconds = report["seconds"]
    assert report["state"] == "serving"
    assert not report["restarted"]
    assert report["requests_per_second_by_code"]["OK"] * seconds == pytest.approx(7)
    assert report["requests_per_second_by_code"]["INVALID_ARGUMENT"] * seconds == pytest.approx(1)
    assert report["requests_per_second"] * seconds == pytest.approx(8)
    by_loss = report["elements_per_second_by_loss"]
    assert by_loss["sigmoid_cross_entropy float32"] * seconds == pytest.approx(70)
    calls = report["request_seconds"]["ComputeLoss"]
    assert calls["per_second"] * seconds == pytest.approx(8)
    assert 0 < calls["p50"] <= calls["p90"] <= calls["p99"]
    assert report["max_inflight_requests"] > 0
    assert report["jobs"] == {}


def histogram(counts: Sequence[int], bounds: Sequence[str]) -> str:
    total = np.cumsum(counts)
    lines = [
        f'lossd_queue_seconds_bucket{{le="{bound}"}} {count}'
        for bound, count in zip(bounds, total, strict=True)
    ]
    return "\n".join([*lines, f"lossd_queue_seconds_count {total[-1]}", ""])


def test_percentiles_are_those_of_prometheus(tmp_path: Path) -> None:
    bounds = ["5e-05", "0.0001", "0.0002", "0.0016", "0.1", "+Inf"]
    generator = random.Random(5)
    rules = []
    for case in range(12):
        # Empty buckets, values in the open one and a first scrape with values are among them.
        before = [generator.choice((0, 3, 1000)) for _ in bounds]
        came = [generator.choice((0, 0, 1, 17, 4000)) for _ in bounds]
        came[generator.randrange(len(bounds))] += 5
        after = [a + b for a, b in zip(before, came, strict=True)]
        (report,) = reports(
            page(INFO + histogram(before, bounds)), page(INFO + histogram(after, bounds))
        )
        series = [
            f'{{series: \'t{{le="{bound}"}}\', values: "{count}"}}'
            for bound, count in zip(bounds, np.cumsum(came), strict=True)
        ]
        for q in (50, 90, 99):
            value = report["queue_seconds"][f"p{q}"]
            assert value is not None, case
            rules.append(
                f"- interval: 1m\n  input_series: [{', '.join(series)}]\n  promql_expr_test:\n"
                f"  - expr: abs(histogram_quantile(0.{q}, t) / {value!r} - 1) < bool 1e-12\n"
                "    eval_time: 0m\n    exp_samples: [{labels: '{}', value: 1}]\n"
            )
    rules_file = tmp_path / "rules.yml"
    rules_file.write_text("rule_files: []\ntests:\n" + "".join(rules), encoding="utf-8")
    done = subprocess.run(
        ["promtool", "test", "rules", str(rules_file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def started(at: int, calls: int) -> str:
    return (
        f"{INFO}process_start_time_seconds {at}\n"
        f'lossd_requests_total{{method="ComputeLoss",code="OK"}} {calls}\n'
    )


def test_a_server_that_goes_away_and_comes_back_is_shown_so() -> None:
    away, back, on = reports(
        page(started(1000, 50)),
        page("drained", status=503),
        page(started(2000, 8)),
        page(started(2000, 9)),
    )
    assert away["state"] == "away"
    assert "503" in away["error"]
    assert back["restarted"]
    assert back["requests_per_second"] * back["seconds"] == pytest.approx(8)
    assert not on["restarted"]
    assert on["requests_per_second"] * on["seconds"] == pytest.approx(1)


def test_without_a_terminal_there_is_a_line_for_each_interval() -> None:
    text = started(1000, 1) + "lossd_serving 1\n"
    with serving([page(text), page("gone", status=404), page(text)]) as address:
        done = watch(address, "--interval=100ms", "--count=3")
    assert done.returncode == 0, done.stderr
    away, *lines = done.stdout.splitlines()
    assert re.match(r"\d\d:\d\d:\d\d away  http://.*404", away)
    assert len(lines) == 2
    assert all(" serving  0 requests/s" in line for line in lines)
    assert "\x1b" not in done.stdout


def test_the_metrics_of_jobs_are_shown_by_job() -> None:
    text = INFO + 'lossd_job_requests_total{training_job="night"} 4\n'
    (report,) = reports(page(text), page(text))
    rates = {"requests_per_second": 0, "elements_per_second": 0, "nan_per_second": 0}
    assert report["jobs"] == {"night": rates}


def test_a_server_that_is_away_in_the_end_is_a_failure() -> None:
    with serving([page(INFO), page("", status=500)]) as address:
        done = watch(address, "--interval=100ms", "--count=1")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "HTTP status 500" in done.stderr


@pytest.mark.parametrize(
    ("served", "complaint"),
    [
        (page("not here", status=404), "the answer is HTTP status 404, not 200"),
        (page("", status=302), "the answer is HTTP status 302, not 200"),
        (page("<html>\n"), 'line 1 is no sample of Prometheus\' text format: "<html>"'),
        (page("up 1\n"), "the page has no lossd_build_info, so it is not lossd's"),
        (page("a 1\n" * (1 << 22) + "b"), "the page is larger than 16777216 bytes"),
    ],
)
def test_a_page_without_lossds_metrics_is_refused(served: Page, complaint: str) -> None:
    with serving([served]) as address:
        done = watch(address)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (f"lossctl: FAILED_PRECONDITION: http://{address}/metrics: {complaint}\n")


def test_a_server_that_is_not_there_or_silent_or_no_http_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        silent = watch(address, "--timeout=200ms")
    refused = watch(address)
    with running_server("--backend=cpu") as server:
        grpc = watch(server.address)
    unresolved = watch("lossd.invalid:9464")
    for done in (silent, refused, grpc, unresolved):
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1
    assert "no answer within 200ms" in silent.stderr
    assert "Connection refused" in refused.stderr
    assert "--metrics_listen address" in grpc.stderr
    assert "resolve host" in unresolved.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["localhost"], '"localhost" is no metrics address: it must be HOST:PORT'),
        (["http://localhost:9464"], "is no metrics address"),
        (["localhost:0"], "is no metrics address"),
        (["user@host:80"], "is no metrics address"),
        (["a/b:80"], "is no metrics address"),
        (["a:1", "b:2"], 'unexpected argument "b:2": watch takes one HOST:PORT'),
        (["--interval=1ms"], "--interval=1ms: must be in [100ms, 24h]"),
        (["--count=-1"], "--count=-1: must be at least 0"),
    ],
)
def test_a_bad_command_line_is_refused(arguments: list[str], complaint: str) -> None:
    done = watch(*arguments)
    assert done.returncode == 2
    assert complaint in done.stderr


def test_an_output_that_takes_nothing_ends_it() -> None:
    with serving([page(INFO)]) as address, open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run(
            [LOSSCTL, "watch", address, "--interval=100ms"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 2
    assert "standard output: cannot be written" in done.stderr


class Terminal:
    """lossctl on a terminal of its own, with what it has written there."""

    def __init__(self, *arguments: str) -> None:
        self.ours, theirs = pty.openpty()
        self.before = termios.tcgetattr(theirs)
        # The terminal becomes the controlling one, so that Ctrl-C is a signal.
        self.process = subprocess.Popen(
            ["setsid", "--ctty", "--wait", LOSSCTL, "watch", *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=os.environ | {"TERM": "xterm"},
        )
        self.theirs = theirs
        self.text = ""

    def wait_for(self, part: str) -> None:
        while part not in self.text:
            self.text += os.read(self.ours, 1 << 16).decode()

    def end(self, keys: str) -> int:
        """Types the keys; returns the exit code after the terminal was given back."""
        os.write(self.ours, keys.encode())
        self.wait_for("\x1b[?1049l")
        code = self.process.wait(timeout=60)
        assert termios.tcgetattr(self.theirs) == self.before
        os.close(self.ours)
        os.close(self.theirs)
        return code


@pytest.mark.parametrize("keys", ["\x03", "q"])
def test_on_a_terminal_it_draws_a_page_and_gives_the_screen_back(keys: str) -> None:
    with serving([page(started(1000, 1)), page("", status=503), page(INFO)]) as address:
        terminal = Terminal(address, "--interval=100ms")
        terminal.wait_for("waiting for the end of the first interval")
        terminal.wait_for("away: http://")
        terminal.wait_for("version 9.8 on cpu/TEST")
        assert terminal.text.startswith("\x1b[?1049h\x1b[?25l")
        assert terminal.end(keys) == 0


def test_signals_end_it_with_0_also_while_it_waits_for_an_answer() -> None:
    asked = threading.Event()
    answer = threading.Event()

    def held() -> tuple[int, str]:
        asked.set()
        answer.wait(60)
        return 200, INFO

    with serving([held]) as address:
        process = subprocess.Popen([LOSSCTL, "watch", address], stdout=subprocess.PIPE)
        assert asked.wait(60)
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=60) == (b"", None)
        answer.set()
    assert process.returncode == 0
