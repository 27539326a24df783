"""/docs in a real browser."""

import re
from pathlib import Path

from support import browser
from support.processes import Service


def test_a_browser_shows_every_call(service: Service, tmp_path: Path) -> None:
    """A browser that applies the page's policy shows every call, without an error in its console."""
    shown = browser.show(f"{service.url}/docs", tmp_path)
    paths = service.http.get("/docs/openapi.json").json()["paths"]

    assert set(re.findall(r'data-path="([^"]+)"', shown.html)) == set(paths)
    assert shown.console == []
