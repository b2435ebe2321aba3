"""A headless Chromium, to read pages as people do."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from selenium.webdriver.remote.webdriver import WebDriver

_WAIT_SECONDS = 60.0
_OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--window-size=1900,1150",
)


def require_browser() -> tuple[str, str]:
    """Return the paths of Chromium and its driver; skip the test without them.

    With ``TRACE_REQUIRE_BROWSER=1`` their absence is a failure.
    """
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if browser is None or driver is None:
        message = "no chromium or no chromedriver: apt-get install chromium chromium-driver"
        if os.environ.get("TRACE_REQUIRE_BROWSER") == "1":
            pytest.fail(message)
        pytest.skip(message)
    return browser, driver


class Browser:
    """A browser window. A context manager."""

    def __init__(self) -> None:
        self._browser, self._driver = require_browser()
        self._profile = tempfile.mkdtemp(prefix="chromium-")
        self._window: WebDriver | None = None

    def __enter__(self) -> Browser:  # Self is of Python 3.11
        from selenium import webdriver

        options = webdriver.ChromeOptions()
        options.binary_location = self._browser
        for option in (*_OPTIONS, f"--user-data-dir={self._profile}"):
            options.add_argument(option)
        service = webdriver.ChromeService(executable_path=self._driver)
        self._window = webdriver.Chrome(options=options, service=service)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._window is not None:
            self._window.quit()
        shutil.rmtree(self._profile, ignore_errors=True)

    @property
    def window(self) -> Any:
        """Selenium's driver."""
        assert self._window is not None
        return self._window

    def open(self, url: str) -> None:
        """Open a page, also one that differs from the current one after the hash alone.

        Args:
            url: Its address.
        """
        self.window.get("about:blank")
        self.window.get(url)

    @property
    def text(self) -> str:
        """What can be read on the page."""
        return str(self.window.execute_script("return document.body.innerText"))

    def read(self, *wanted: str) -> str:
        """Wait until all of some texts can be read on the page, and return all that can.

        Args:
            *wanted: The texts.
        """
        deadline = time.monotonic() + _WAIT_SECONDS
        while True:
            found = self.text
            missing = [text for text in wanted if text not in found]
            if not missing:
                return found
            if time.monotonic() > deadline:
                raise AssertionError(f"not on the page: {missing}; there is:\n{found}")
            time.sleep(0.3)

    def click(self, label: str, *, wait: float = 0.0) -> bool:
        """Click on the button, link or tab of a label; say whether it was there.

        Args:
            label: Its whole text; that of a tab may end in a badge.
            wait: Seconds to wait for it to appear.
        """
        from selenium.common.exceptions import WebDriverException
        from selenium.webdriver.common.by import By

        deadline = time.monotonic() + wait
        while True:
            path = (
                f"//*[self::button or self::a][normalize-space()='{label}']"
                f" | //*[@role='tab'][starts-with(normalize-space(), '{label}')]"
            )
            for element in self.window.find_elements(By.XPATH, path):
                try:
                    element.click()
                except WebDriverException:
                    continue  # covered by another, or gone in the meantime
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(0.2)

    def press(self, selector: str) -> None:
        """Press what a CSS selector finds, if it finds anything.

        Args:
            selector: The selector.
        """
        script = "document.querySelector(arguments[0])?.click()"
        self.window.execute_script(script, selector)

    def finds(self, selector: str, *, wait: float = 10.0) -> bool:
        """Say whether a CSS selector finds anything.

        Args:
            selector: The selector.
            wait: Seconds to wait for it to appear.
        """
        deadline = time.monotonic() + wait
        script = "return document.querySelector(arguments[0]) !== null"
        while not self.window.execute_script(script, selector):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.2)
        return True

    def keep(self, name: str) -> None:
        """Save a picture of the page into the folder ``TRACE_SCREENSHOTS``, if that is set.

        Args:
            name: The file's name without its ending.
        """
        folder = os.environ.get("TRACE_SCREENSHOTS")
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.window.save_screenshot(str(Path(folder) / f"{name}.png"))
