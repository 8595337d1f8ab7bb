"""Has three real scrapers read /metrics every second, all at once."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from soak.counterparts import CLIENTS, NoCounterpart, run
from soak.row import Row, judged, not_run
from soak.server import PATIENCE, Server, Setting, free_port, running, wait_until

SCRAPES = 100
DONE = "scrapes of /metrics, one a second"
SLOW = 5  # how many seconds a scrape may take before the run is given up


def rows(setting: Setting) -> Iterator[Row]:
    scrapers = {
        "VictoriaMetrics": victoria_metrics,
        "Prometheus 2": prometheus2,
        "Prometheus 3": prometheus3,
    }
    program = setting.folder / "prometheus3"
    with contextlib.suppress(NoCounterpart):  # Its row says so.
        build_prometheus3(program)
    server = Server(setting)
    with running(server), ThreadPoolExecutor() as pool:
        runs = {
            name: pool.submit(scraper, server.metrics, setting.folder, setting.times(SCRAPES))
            for name, scraper in scrapers.items()
        }
        for name, result in runs.items():
            try:
                yield result.result()
            except NoCounterpart as reason:
                yield not_run("scrapes", DONE, name, str(reason))


def row(counterpart: str, scrapes: int, failed: int, seen: str = "") -> Row:
    return judged("scrapes", DONE, counterpart, times=scrapes, lost=failed, seen=seen)


def victoria_metrics(target: str, folder: Path, wanted: int) -> Row:
    config = scrape_config(target, folder / "victoria")
    arguments = [
        f"-promscrape.config={config}",
        f"-storageDataPath={config.parent / 'data'}",
    ]
    with scraper("victoria-metrics", arguments, "-httpListenAddr={}") as base:

        def counted() -> tuple[int, int]:
            pattern = r"scrapes_total=(\d+), scrapes_failed=(\d+)"
            found = re.search(pattern, fetch(f"{base}/targets"))
            return (int(found[1]), int(found[2])) if found else (0, 0)

        wait_for_scrapes(lambda: counted()[0], wanted)
        scrapes, failed = counted()
    return row(f"VictoriaMetrics {package_version('victoria-metrics')}", scrapes, failed)


def prometheus2(target: str, folder: Path, wanted: int) -> Row:
    config = scrape_config(target, folder / "prometheus2")
    arguments = [f"--config.file={config}", f"--storage.tsdb.path={config.parent / 'data'}"]
    with scraper("prometheus", arguments, "--web.listen-address={}") as base:

        def over_an_hour(function: str) -> int:
            query = urllib.parse.urlencode({"query": f"{function}(up[1h])"})
            result = json.loads(fetch(f"{base}/api/v1/query?{query}"))["data"]["result"]
            return int(float(result[0]["value"][1])) if result else 0

        wait_for_scrapes(lambda: over_an_hour("count_over_time"), wanted)
        # Scrapes go on between the two questions, so failures are what is asked for first.
        ups = over_an_hour("sum_over_time")
        scrapes = max(wanted, ups)
    return row(f"Prometheus {package_version('prometheus')}", scrapes, scrapes - ups)


def build_prometheus3(folder: Path) -> None:
    shutil.copytree(CLIENTS / "prometheus3", folder, dirs_exist_ok=True)
    run(["go", "mod", "tidy"], folder)
    run(["go", "build", "-p", "1", "-o", "program", "."], folder)


def prometheus3(target: str, folder: Path, wanted: int) -> Row:
    program = folder / "prometheus3" / "program"
    if not program.exists():
        build_prometheus3(program.parent)
    with (folder / "prometheus3.log").open("w") as log:
        done = subprocess.run(
            [program, target, str(wanted)],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            timeout=SLOW * wanted + PATIENCE,
            check=True,
        )
    seen = json.loads(done.stdout)
    failed = seen["scrapes"] - seen["up"]
    name = f"Prometheus 3, scraper of module {seen['version']}"
    return row(name, seen["scrapes"], failed, seen["error"])


def scrape_config(target: str, folder: Path) -> Path:
    """Writes a configuration, the only file in the folder, and returns its path."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    path = folder / "scrape.yml"
    job = {"job_name": "lossd", "static_configs": [{"targets": [target]}]}
    # Every JSON document is also YAML.
    path.write_text(json.dumps({"global": {"scrape_interval": "1s"}, "scrape_configs": [job]}))
    return path


@contextlib.contextmanager
def scraper(program: str, arguments: list[str], listen: str) -> Iterator[str]:
    """Runs a scraper and yields its base URL; NoCounterpart if it is not installed."""
    if shutil.which(program) is None:
        raise NoCounterpart(f"{program} is not installed")
    address = f"127.0.0.1:{free_port()}"
    process = subprocess.Popen(
        [program, *arguments, listen.format(address)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait()


def wait_for_scrapes(count: Callable[[], int], wanted: int) -> None:
    def enough() -> bool:
        with contextlib.suppress(OSError):  # It may not listen yet.
            return count() >= wanted
        return False

    if wait_until(enough, SLOW * wanted + PATIENCE) == float("inf"):
        raise RuntimeError(f"fewer than {wanted} scrapes in {SLOW * wanted + PATIENCE:.0f} s")


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=PATIENCE) as reply:
        return str(reply.read().decode())


def package_version(package: str) -> str:
    """Returns the version of the distribution's package, without its revision."""
    done = subprocess.run(
        ["dpkg-query", "-W", "-f=${Version}", package], capture_output=True, text=True, check=False
    )
    return re.split(r"[+-]", done.stdout)[0]
