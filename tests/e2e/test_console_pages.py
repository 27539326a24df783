"""Every page of the console: on a desktop and a phone, in both themes and languages, by the rules of axe-core."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from support.browser import DESKTOP, PHONE, visit
from support.console import Installation, installation, sign_in
from support.pages import ROOT
from support.processes import Sandbox
from support.servers import sqlite_url

AXE = (ROOT / "tests/support/sdks/node/node_modules/axe-core/axe.min.js").read_text(encoding="utf-8")

LAYOUTS = [
    pytest.param(size, theme, locale, id=f"{name}-{theme}-{locale}")
    for name, size in (("desktop", DESKTOP), ("phone", PHONE))
    for theme, locale in (("light", "zh-CN"), ("dark", "en-GB"))
]


@pytest.fixture(scope="module")
def console(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A service and its console, with users, a conflict and failed logins."""
    with installation(sandbox, sqlite_url(tmp_path_factory.mktemp("pages"))) as running:
        running.fail()
        yield running


@pytest.fixture(scope="module")
def paths(console: Installation) -> list[str]:
    """The path of every page that a signed-in admin may see."""
    person = console.person(name="王小明", phone="+8613812345678", avatar="https://example.com/a.png", city="深圳")
    blocked = console.person(name="长" * 64)
    console.admin.send("PUT", f"/users/{blocked.id}/block", json={"reason": "spam"})
    one, other = console.conflict()
    session = console.admin.get(f"/users/{person.id}/sessions")["sessions"][0]["id"]
    user = f"users/{person.id}"
    return [
        "",
        *(user, f"users/{blocked.id}", f"{user}/block", f"users/{blocked.id}/unblock"),
        *(f"{user}/sessions/{session}/end", f"{user}/sessions/end"),
        *("conflicts", f"merge?first={one.id}", f"merge?first={one.id}&second={other.id}"),
        f"merge/confirm?source={one.id}&target={other.id}",
        *("failures", "live", "audit", "audit?since=yesterday", "audit?type=user.merged"),
    ]


def findings(page: Page) -> list[str]:
    """Return what axe-core finds, of each impact."""
    page.evaluate(AXE)
    result: dict[str, Any] = page.evaluate("axe.run()")
    return [f"{each['impact']} {each['id']}: {node['html']}" for each in result["violations"] for node in each["nodes"]]


@pytest.mark.parametrize(("size", "theme", "locale"), LAYOUTS)
def test_every_page_fits_and_is_accessible(
    chromium: Browser, console: Installation, paths: list[str], size: tuple[int, int], theme: str, locale: str
) -> None:
    """No page is wider than the screen, writes to the console, asks another host, or has a finding of axe-core."""
    with visit(chromium, console.url, size, locale, color_scheme=theme) as opened:
        page = opened.page
        found = {"sign-in": findings(page)}
        sign_in(page)
        overflowing = []
        for path in paths:
            page.goto(f"{console.url}{path}")
            found[path] = findings(page)
            if opened.overflows:
                overflowing.append(path)
        unexpected = [line for line in opened.console if "400 (Bad Request)" not in line]

        assert {path: each for path, each in found.items() if each} == {}
        assert overflowing == []
        assert unexpected == []
        assert opened.hosts == {console.admin.url.removeprefix("http://")}
