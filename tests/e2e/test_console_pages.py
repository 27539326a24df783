"""Every page of the console: on a desktop and a phone, in both themes and languages, by the rules of axe-core."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from playwright.sync_api import Browser, Page, expect

from support.browser import DESKTOP, PHONE, Visit, visit
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


class Shown(NamedTuple):
    """What the pages are about: paths that a signed-in admin may open, a user, and a phone number of two users."""

    paths: list[str]
    user_id: str
    phone: str


@pytest.fixture(scope="module")
def shown(console: Installation) -> Shown:
    """Users in every state, and the path of every page that needs no form before."""
    phone = "+8613812345678"
    person = console.person(name="王小明", phone=phone, avatar="https://example.com/a.png", city="深圳")
    console.person(name="Wang Xiaoming", phone=phone)
    blocked = console.person(name="长" * 64)
    console.admin.send("PUT", f"/users/{blocked.id}/block", json={"reason": "spam"})
    one, other = console.conflict()
    session = console.admin.get(f"/users/{person.id}/sessions")["sessions"][0]["id"]
    user = f"users/{person.id}"
    paths = [
        "",
        *(user, f"users/{blocked.id}", f"{user}/block", f"users/{blocked.id}/unblock", f"{user}/erase"),
        *(f"{user}/sessions/{session}/end", f"{user}/sessions/end"),
        *("conflicts", f"merge?first={one.id}", f"merge?first={one.id}&second={other.id}"),
        f"merge/confirm?source={one.id}&target={other.id}",
        *("failures", "live", "audit", "audit?since=yesterday", "audit?type=user.merged"),
        *("users/nobody", "?cursor=x"),
    ]
    return Shown(paths, person.id, phone)


class Inspection:
    """Looks at pages, and remembers what is wrong with each."""

    def __init__(self, opened: Visit) -> None:
        self.page = opened.page
        self.wrong: dict[str, list[str]] = {}
        self._opened = opened

    def look(self, name: str, selector: str = "h1") -> None:
        """Wait for the element, and look at the page."""
        expect(self.page.locator(selector).first).to_be_visible()
        found = findings(self.page) + (["wider than the screen"] if self._opened.overflows else [])
        if found:
            self.wrong[name] = found

    def send(self, field: str, text: str) -> None:
        """Send the form of the page with a text in one field."""
        self.page.fill(field, text)
        self.page.press(field, "Enter")


def findings(page: Page) -> list[str]:
    """Return what axe-core finds, of each impact."""
    page.evaluate(AXE)
    result: dict[str, Any] = page.evaluate("axe.run()")
    return [f"{each['impact']} {each['id']}: {node['html']}" for each in result["violations"] for node in each["nodes"]]


def is_expected(line: str) -> bool:
    """Return whether the browser says that a page has the status of an error, which some of these pages have."""
    return bool(re.search(r"a status of 40[014] ", line))


@pytest.mark.parametrize(("size", "theme", "locale"), LAYOUTS)
def test_every_page_fits_and_is_accessible(
    chromium: Browser, console: Installation, shown: Shown, size: tuple[int, int], theme: str, locale: str
) -> None:
    """No page is wider than the screen, writes to the console, asks another host, or has a finding of axe-core."""
    with visit(chromium, console.url, size, locale, color_scheme=theme) as opened:
        pages = Inspection(opened)
        pages.look("sign-in")
        pages.send("#key", "wxadmin_wrong")
        pages.look("a wrong key", "#key-wrong")
        sign_in(pages.page)
        for path in shown.paths:
            pages.page.goto(f"{console.url}{path}")
            pages.look(path)
        for name, term in {"two users found": shown.phone, "no user found": "nobody"}.items():
            pages.page.goto(console.url)
            pages.send("#term", term)
            pages.look(name, ".title a[href='/admin/']")
        pages.page.goto(f"{console.url}users/{shown.user_id}/erase")
        pages.send("#typed", "another")
        pages.look("another id is typed", "#typed-wrong")

        assert pages.wrong == {}
        assert [line for line in opened.console if not is_expected(line)] == []
        assert opened.hosts == {console.admin.url.removeprefix("http://")}
