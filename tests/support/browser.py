"""A real browser, if the machine has one."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
FOUND = next((found for name in NAMES if (found := shutil.which(name))), None)
"""The path of Chromium, or None."""

OPTIONS = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--virtual-time-budget=10000"]

DESKTOP, PHONE = (1280, 900), (390, 844)
"""The sizes of the screens on which pages are tested."""


expect.set_options(timeout=30_000)  # the machine may be busy


class Shown(NamedTuple):
    """A page after its scripts have run: its elements as HTML, and the lines of its console."""

    html: str
    console: list[str]


def show(url: str, directory: Path) -> Shown:
    """Open the page in a browser whose files are in `directory`."""
    assert FOUND
    command = [FOUND, *OPTIONS, f"--user-data-dir={directory}", "--dump-dom", url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return Shown(done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line])


@contextmanager
def browser() -> Iterator[Browser]:
    """Start a browser that looks up no addresses of its own."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=FOUND, args=["--no-sandbox", "--disable-quic"])
        yield started
        started.close()


@dataclass
class Visit:
    """A page that a test uses, what its console says, and the hosts that it sends requests to."""

    page: Page
    console: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    @property
    def overflows(self) -> bool:
        """Return whether the page is wider than the screen."""
        return bool(self.page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))


@contextmanager
def visit(
    browser: Browser, url: str, size: tuple[int, int] = DESKTOP, locale: str = "zh-CN", **options: Any
) -> Iterator[Visit]:
    """Open the page on a screen of this size, without animations, in a new context with Playwright's options."""
    width, height = size
    context = browser.new_context(
        viewport={"width": width, "height": height}, locale=locale, reduced_motion="reduce", **options
    )
    visited = Visit(context.new_page())

    def on_console(message: ConsoleMessage) -> None:
        if not message.text.startswith("Autofocus processing was blocked"):  # the test was faster than the page
            visited.console.append(message.text)

    def on_request(request: Request) -> None:
        visited.hosts.add(urlsplit(request.url).netloc)

    visited.page.on("console", on_console)
    visited.page.on("pageerror", lambda error: visited.console.append(str(error)))
    visited.page.on("request", on_request)
    visited.page.goto(url)
    yield visited
    context.close()
