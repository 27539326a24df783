"""A real browser, if the machine has one."""

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

NAMES = ("chromium", "chromium-browser", "google-chrome")
FOUND = next((found for name in NAMES if (found := shutil.which(name))), None)
"""The path of Chromium, or None."""

OPTIONS = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--virtual-time-budget=10000"]


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
