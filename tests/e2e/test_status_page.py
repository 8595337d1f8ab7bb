"""The status page, in a real browser: what it shows, and that it is whole and harmless."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import lossd
import pytest
from browser import Browser, browser, complaints, needs_browser, wait_until
from mixed_load import SMALL, mixed_load, stream
from running_server import RunningServer, running_server

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "tests" / "server" / "observability" / "page"
NARROW = 360


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_the_arithmetic_of_the_page() -> None:
    tests = sorted(str(path) for path in SCRIPTS.glob("*.test.mjs"))
    assert len(tests) == 5
    done = subprocess.run(
        ["node", "--test", *tests], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout
    assert "# fail 0" in done.stdout


@pytest.fixture(scope="module", name="server")
def loaded_server() -> Iterator[RunningServer]:
    with running_server() as server:
        stream(server.address)
        with mixed_load(server.address, pause=0.05):
            yield server


@pytest.fixture(scope="module", name="page")
def page_of_the_server(server: RunningServer) -> Iterator[Browser]:
    with browser() as driver:
        driver.get(f"http://{server.metrics}/")
        wait_until(driver, lambda: text(driver, "#histograms"))
        yield driver


READ = """
const found = document.querySelector(arguments[0]);
return found.checkVisibility() ? found.innerText : "";
"""


def text(driver: Browser, selector: str) -> str:
    """Returns what a person reads in an element: nothing in one that is hidden."""
    return str(driver.execute_script(READ, selector))


def tiles(driver: Browser) -> dict[str, str]:
    found = driver.execute_script(
        "return [...document.querySelectorAll('.tile')].map(tile => "
        "[tile.querySelector('h3').innerText, tile.querySelector('.value').innerText])"
    )
    return dict(found)


@needs_browser
def test_it_shows_what_the_server_does(page: Browser) -> None:
    assert text(page, "#health") == "serving"
    assert lossd.__name__ in page.title
    numbers = tiles(page)
    assert len(numbers) == 12
    for busy in ("Calls", "Elements", "Traffic", "Processors", "Memory", "Connections"):
        assert numbers[busy][0].isdigit(), numbers
        assert not numbers[busy].startswith("0 "), numbers
    methods = text(page, "#calls")
    for name in ("ComputeLoss", "ComputeLosses", "StreamLoss", "INVALID_ARGUMENT"):
        assert name in methods
    for loss in ("sigmoid_cross_entropy, float32", "sigmoid_focal, bfloat16"):
        assert loss in methods
    pictures = text(page, "#histograms")
    for title in ("Time of ComputeLoss", "Wait in the queue", "Computing a batch"):
        assert title in pictures


@needs_browser
def test_it_shows_the_configuration(page: Browser, server: RunningServer) -> None:
    configuration = text(page, "#configuration")
    assert server.address in configuration
    assert "max_inflight_bytes" in configuration


@needs_browser
def test_numbers_change_by_themselves(page: Browser) -> None:
    before = text(page, "#calls")
    wait_until(page, lambda: text(page, "#calls") != before)


@needs_browser
def test_the_browser_has_nothing_to_complain_of(page: Browser) -> None:
    assert complaints(page) == []


@needs_browser
def test_everything_comes_from_the_server(page: Browser, server: RunningServer) -> None:
    loaded = page.execute_script(
        "return performance.getEntriesByType('resource').map(entry => entry.name)"
    )
    assert len(loaded) > 5
    assert all(url.startswith(f"http://{server.metrics}/") for url in loaded)


@needs_browser
@pytest.mark.parametrize("dark", [False, True])
def test_a_narrow_window_has_nothing_beside_it(server: RunningServer, dark: bool) -> None:
    with browser(NARROW, dark=dark) as driver:
        driver.get(f"http://{server.metrics}/")
        wait_until(driver, lambda: text(driver, "#histograms"))
        assert driver.execute_script("return document.documentElement.scrollWidth") <= NARROW
        ground = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
        brightness = sum(int(number) for number in ground[4:-1].split(","))
        assert (brightness < 300) == dark


@needs_browser
def test_a_drain_and_an_end_are_seen() -> None:
    with running_server("--drain_delay=60s") as server, browser() as driver:
        with lossd.Client(server.address) as client:
            client.compute_loss(SMALL, SMALL > 0)
        driver.get(f"http://{server.metrics}/")
        wait_until(driver, lambda: text(driver, "#now"))
        server.process.send_signal(signal.SIGTERM)
        wait_until(driver, lambda: text(driver, "#health") == "not serving")
        server.process.kill()
        server.process.wait()
        wait_until(driver, lambda: text(driver, "#health") == "no answer")
        assert "does not answer" in text(driver, "#notice")


HOSTILE = '<img src=x onerror="document.title=1">'
JOB = HOSTILE.replace('"', r"\"")  # as the text format has it
JOB_METRICS = {
    "requests_total": 4, "elements_total": 4000, "loss_sum": 2772, "loss_count": 4000,
    "negative_loss_total": 0, "gradient_square_sum": 36, "gradient_square_count": 4,
    "sampled_elements_total": 250, "positives_total": 50, "saturated_total": 5,
}  # fmt: skip


WORK = {"lossd_queue_seconds_sum": 40, "lossd_compute_seconds_sum": 10}


@contextlib.contextmanager
def page_of(counters: Mapping[str, float]) -> Iterator[str]:
    """Serves the files of the page beside counters that rise by their values with each reading."""
    files = ROOT / "server" / "observability" / "page"
    kinds = {".mjs": "text/javascript", ".css": "text/css", ".html": "text/html"}
    readings = itertools.count(1)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                times = next(readings)
                lines = ["lossd_serving 1", "lossd_max_inflight_bytes 1", "lossd_executors 1"]
                lines += [f"{name} {value * times}" for name, value in counters.items()]
                kind, body = "text/plain", "\n".join(lines) + "\n"
            else:
                file = files / (self.path.removeprefix("/page/").strip("/") or "index.html")
                kind, body = kinds[file.suffix], file.read_text()
            self.send_response(200)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()


@needs_browser
def test_more_waiting_than_computing_is_an_alarm() -> None:
    with page_of(WORK) as url, browser() as driver:
        driver.get(url)
        wait_until(driver, lambda: tiles(driver).get("Waiting per computing") == "4")
        alarms = "return [...document.querySelectorAll('.tile.alarming h3')].map(h => h.innerText)"
        assert driver.execute_script(alarms) == ["Waiting per computing"]


@needs_browser
def test_jobs_are_shown_and_their_names_are_text() -> None:
    counters = {f'lossd_job_{name}{{training_job="{JOB}"}}': n for name, n in JOB_METRICS.items()}
    with page_of(counters) as url, browser() as driver:
        driver.get(url)
        wait_until(driver, lambda: text(driver, "#jobs"))
        [row] = [line for line in text(driver, "#jobs").splitlines() if HOSTILE in line]
        # Loss, gradient norm, positives, saturated.
        for value in ("0.693", "3", "20.0 %", "2.00 %"):
            assert value in row.removeprefix(HOSTILE).split("\t"), row
        assert driver.execute_script("return document.images.length") == 0
        assert driver.title.startswith("lossd")


@needs_browser
def test_a_server_without_calls_has_a_page_too() -> None:
    with running_server() as server, browser() as driver:
        driver.get(f"http://{server.metrics}/")
        wait_until(driver, lambda: tiles(driver))
        assert text(driver, "#calls") == ""
        assert text(driver, "#histograms") == ""
        assert "NaN" not in text(driver, "main")
