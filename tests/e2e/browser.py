"""A real browser without a window: the distribution's Chromium, driven by Selenium."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from selenium.webdriver import Chrome as Browser
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.wait import WebDriverWait

PATIENCE = 60  # seconds
DRIVER = shutil.which("chromedriver")
needs_browser = pytest.mark.skipif(DRIVER is None, reason="chromium-driver is not installed")


@contextlib.contextmanager
def browser(width: int = 1280, height: int = 900, *, dark: bool = False) -> Iterator[Browser]:
    """Starts a browser whose pages are `width` pixels wide."""
    options = Options()
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-proxy-server"):
        options.add_argument(argument)
    options.add_argument("--hide-scrollbars")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    assert DRIVER is not None
    driver = Browser(options, Service(DRIVER))
    try:
        # A window has a least width; a page's metrics have none.
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        yield driver
    finally:
        driver.quit()


def wait_until(driver: Browser, condition: Callable[[], Any]) -> None:
    WebDriverWait(driver, PATIENCE, 0.1).until(lambda _: condition())


def complaints(driver: Browser) -> list[str]:
    """Returns what the browser's console has said since it was last asked."""
    return [entry["message"] for entry in driver.get_log("browser")]
