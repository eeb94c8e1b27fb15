"""A headless Chromium that opens a file and tells what it saw."""

import base64
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from selenium.webdriver import Chrome, ChromeOptions, ChromeService

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
_FLAGS = ("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run",
          "disable-background-networking", "disable-component-update", "disable-sync",
          "disable-dev-shm-usage", "hide-scrollbars")  # fmt: skip


class Browser:
    """A browser that has opened no page yet."""

    def __init__(self, driver: Chrome):
        self._driver = driver

    def open(self, path: Path, width: int, height: int, scheme: str, media: str = "screen") -> None:
        """Open a file in a window of some size (pixels), light or dark, on screen or in print."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._driver.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"media": media, "features": features}
        )
        for log in ("browser", "performance"):  # of the page before
            self._driver.get_log(log)
        self._driver.get(path.as_uri())

    def run(self, script: str) -> Any:
        """What a script of JavaScript returns on the page."""
        return self._driver.execute_script(script)

    def errors(self) -> list[str]:
        """What stands in the console as an error of this page."""
        lines = self._driver.get_log("browser")
        return [line["message"] for line in lines if line["level"] == "SEVERE"]

    def requests(self) -> list[str]:
        """Every address that this page has asked for."""
        events = (json.loads(x["message"])["message"] for x in self._driver.get_log("performance"))
        return [
            event["params"]["request"]["url"]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
        ]

    def screenshot(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._driver.save_screenshot(str(path))

    def printed(self, path: Path) -> None:
        """Print the page as PDF."""
        path.parent.mkdir(parents=True, exist_ok=True)
        made = self._driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
        path.write_bytes(base64.b64decode(made["data"]))


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """Gives a browser with a profile of its own."""
    assert CHROMIUM is not None
    assert DRIVER is not None
    options = ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*_FLAGS, f"user-data-dir={profile}"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    # it does not start without a home, nor with a long TMPDIR; its driver is behind no proxy
    kind = {"HOME": str(profile), "TMPDIR": "/tmp", "LC_ALL": "C.UTF-8", "NO_PROXY": "localhost"}
    with patch.dict(os.environ, kind):
        driver = Chrome(options=options, service=ChromeService(DRIVER))
        try:
            yield Browser(driver)
        finally:
            driver.quit()
