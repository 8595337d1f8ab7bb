"""Takes pictures of the status page of a server under load, in a real browser.

    ./dev picture [--out FOLDER] [--every]

docs/status_page.png is the one that README.md shows. With --every there are also those of a dark
page and of narrow windows, to look at.
"""

from __future__ import annotations

import argparse
import io
import re
import subprocess
from pathlib import Path

from browser import Browser, browser, wait_until
from mixed_load import mixed_load, stream
from PIL import Image
from running_server import BINARIES, RunningServer, running_server

WATCHED = 20  # seconds, so that the lines have something to show
COLOURS = 128  # enough for a page of text, and a third of the size
WIDTH = 1280
NARROW = 400


def height_of(page: Browser) -> int:
    return int(page.execute_script("return document.documentElement.scrollHeight"))


def seconds_shown(page: Browser) -> int:
    """Returns how many seconds the heading of the histograms names."""
    heading = page.execute_script("return document.querySelector('#histograms small').innerText")
    number = re.search(r"\d+", heading)
    return int(number[0]) if number else 0


def take(server: RunningServer, file: Path, width: int, *, dark: bool = False) -> None:
    with browser(width, dark=dark) as page:
        page.get(f"http://{server.metrics}/")
        # The heading of the histograms says how many seconds they are of.
        seconds = (
            "return parseInt(document.querySelector('#histograms small').innerText.match(/\\d+/))"
        )
        wait_until(page, lambda: (page.execute_script(seconds) or 0) >= WATCHED)
        metrics = {"width": width, "height": height_of(page), "deviceScaleFactor": 1}
        page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {**metrics, "mobile": False})
        picture = Image.open(io.BytesIO(page.get_screenshot_as_png())).convert("RGB")
        picture.quantize(COLOURS).save(file, optimize=True)
        print(f"{file}: {picture.width} x {picture.height}, {file.stat().st_size // 1024} KiB")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("docs"))
    parser.add_argument("--every", action="store_true")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with running_server() as server:
        stream(server.address)
        flags = ("--elements=1048576", "--concurrency=4", "--duration=10m")
        bench = subprocess.Popen(
            [BINARIES / "client" / "lossbench", f"--target={server.address}", *flags],
            stdout=subprocess.DEVNULL,
        )
        with mixed_load(server.address, pause=0.02):
            take(server, options.out / "status_page.png", WIDTH)
            if options.every:
                take(server, options.out / "status_page_dark.png", WIDTH, dark=True)
                take(server, options.out / "status_page_narrow.png", NARROW)
                take(server, options.out / "status_page_narrow_dark.png", NARROW, dark=True)
        bench.terminate()
        bench.wait()


if __name__ == "__main__":
    main()
