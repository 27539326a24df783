"""The demo's page, used as people use it: in a browser, by mouse and by keyboard, on a desktop and on a phone."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from entrypoints.demo.trace import AGAIN, CALLS
from support.browser import DESKTOP, PHONE, Visit, visit
from support.pages import ROOT
from support.plain_http import fetch
from support.processes import clean_environment, running
from support.servers import wait_until

SCENARIOS = {
    "used": ("400 code_used", "40163"),
    "invalid": ("400 code_invalid", "40029"),
    "busy": ("503 wechat_unavailable", "-1"),
    "limited": ("429 rate_limited", "45011"),
    "risky": ("403 user_blocked_by_wechat", "40226"),
    "gateway": ("503 wechat_unavailable", ""),
    "hung": ("503 wechat_unavailable", ""),
    "slow": ("503 wechat_unavailable", ""),
    "users": ("503 store_unavailable", ""),
    "store": ("503 store_unavailable", ""),
}
"""What can go wrong, with the outcome and WeChat's errcode."""

FAILED_FETCH = "Failed to load resource: the server responded with a status of"
"""What Chromium writes into the console for a response that is an error, as is expected here."""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a demo whose sessions expire after an hour."""
    settings = {"WXLOGIN_SESSION_IDLE_SECONDS": "3600", "WXLOGIN_SESSION_MAX_SECONDS": "86400"}
    with running(
        "demo", "--port", "0", env=clean_environment() | settings, cwd=tmp_path_factory.mktemp("demo")
    ) as demo:
        wait_until(lambda: "Ctrl-C" in demo.text(), "the demo")
        yield re.search(r"in a browser, .*: (http://\S+)/\n", demo.text())[1]  # type: ignore[index]


@pytest.fixture
def visited(chromium: Browser, url: str) -> Iterator[Visit]:
    """The page, after the login with which it starts."""
    with visit(chromium, url) as opened:
        outcome_is(opened.page, "201 完成")
        yield opened
        assert opened.hosts == {url.removeprefix("http://")}
        assert [line for line in opened.console if FAILED_FETCH not in line] == []


def outcome_is(page: Page, text: str) -> None:
    """Wait until the page shows the outcome of the latest request."""
    expect(page.locator("#outcome > b")).to_have_text(text, timeout=30_000)


def log_in(page: Page, scenario: str = "good", device: str = "phone") -> None:
    """Log in on a device, with what is to happen."""
    page.check(f"input[value={device}]")
    page.check(f"input[value={scenario}]")
    page.click("button.main")


def steps(page: Page) -> list[str]:
    """Return the arrows of the diagram: from, to, and what travels."""
    lines = page.locator("#steps li").all()
    return [re.sub(r", [\d.]+ ms$", "", str(line.get_attribute("aria-label"))) for line in lines]


def test_the_page_leads_to_the_console(visited: Visit) -> None:
    """The page has a link to the console, and the key that opens it."""
    link, key = visited.page.locator("#console").get_attribute("href"), visited.page.inner_text("#key")

    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/admin/", link or "")
    assert re.fullmatch(r"wxadmin_[\w-]{43}", key)


def test_the_page_draws_a_login(visited: Visit) -> None:
    """The page logs in when it opens, and draws each call with its time; codes, keys and tokens are shortened."""
    drawn = steps(visited.page)

    assert [re.sub(r": .*", "", step) for step in drawn] == [
        "小程序 → wxlogin",
        *("wxlogin → 微信", "微信 → wxlogin"),
        *("wxlogin → 用户", "用户 → wxlogin"),
        *("wxlogin → 会话", "会话 → wxlogin"),
        *("wxlogin → 用户", "用户 → wxlogin"),
        "wxlogin → 小程序",
    ]
    assert re.fullmatch(r"小程序 → wxlogin: POST /v1/sessions code \S{4}…", drawn[0])
    assert "session_key ••••••" in drawn[2]
    assert re.fullmatch(r"wxlogin → 小程序: 201  token \S{4}…", drawn[-1])
    assert re.search(r"共 [\d.]+ 毫秒", visited.page.inner_text("#took"))


def test_the_heading_is_what_was_chosen(visited: Visit, url: str) -> None:
    """With another fault pending, set on the sandbox's page, the heading does not say that all is well."""
    fault = {"path": "/sns/jscode2session", "errcode": -1, "times": 1}
    fetch(f"{url}/sandbox/faults", "POST", json=fault)
    log_in(visited.page)
    outcome_is(visited.page, "503 wechat_unavailable")

    assert visited.page.inner_text("#what") == "手机，已选：一切正常"


def test_the_page_scrolls_after_an_action_only(chromium: Browser, url: str) -> None:
    """On a phone, the page begins at its top, and the diagram comes into view when a button is pressed."""
    with visit(chromium, url, PHONE) as opened:
        outcome_is(opened.page, "201 完成")

        assert opened.page.evaluate("scrollY") == 0
        log_in(opened.page)
        outcome_is(opened.page, "201 完成")
        expect(opened.page.locator("#what")).to_be_in_viewport()


def test_a_button_shows_the_line_of_the_client(visited: Visit) -> None:
    """The title of a button is the line of @wxlogin/client that does the same, with a function that the client has."""
    described = visited.page.locator("button[title]")
    titles = {str(described.nth(at).get_attribute("title")) for at in range(described.count())}
    client = (ROOT / "clients/miniprogram/README.md").read_text(encoding="utf-8")

    assert titles == {
        "client.login()",
        "client.request({ url: '/orders' })",
        "client.logout()",
        "client.endSession(id)",
    }
    assert all(f"`{name}(" in client for title in titles for name in re.findall(r"client\.(\w+)\(", title))


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_page_shows_what_goes_wrong(visited: Visit, scenario: str) -> None:
    """Each fault ends in its error, with WeChat's errcode and with what the client has to do; the next login works."""
    title, errcode = SCENARIOS[scenario]
    log_in(visited.page, scenario)
    outcome_is(visited.page, title)
    outcome = visited.page.inner_text("#outcome")
    failed = visited.page.locator("#steps li.failed").count()

    assert "怎么重试" in outcome
    assert errcode in outcome
    assert failed >= 2

    log_in(visited.page)
    outcome_is(visited.page, "201 完成")


def test_a_device_ends_another(visited: Visit) -> None:
    """A session that another device ends is refused at its next request, and the page says why."""
    page = visited.page
    log_in(page, device="tablet")
    outcome_is(page, "201 完成")
    page.click("#end-tablet")
    outcome_is(page, "204 完成")
    page.click("#check-tablet")
    outcome_is(page, "401 session_ended")

    assert page.inner_text("#state-tablet") == "session_ended"
    assert page.inner_text("#state-phone") == "有效"


def test_sessions_expire(visited: Visit) -> None:
    """The button lets the idle time of the settings pass, after which the token is refused."""
    page = visited.page
    page.click("#expire")
    outcome_is(page, "401 session_expired")

    assert "1 小时" in page.inner_text("#life")
    assert page.inner_text("#state-phone") == "session_expired"


def test_a_blocked_user_is_out(visited: Visit) -> None:
    """A block ends the user's sessions and refuses their logins, until they are unblocked."""
    page = visited.page
    page.click("#block")
    outcome_is(page, "200 完成")
    page.click("#check-phone")
    outcome_is(page, "401 session_ended")
    log_in(page)
    outcome_is(page, "403 user_blocked")
    page.click("#block")
    outcome_is(page, "204 完成")
    log_in(page)
    outcome_is(page, "201 完成")


def test_a_diagram_is_played_step_by_step(visited: Visit) -> None:
    """Replay begins with the first step, and each click shows one more, up to the outcome."""
    page = visited.page
    page.emulate_media(reduced_motion="no-preference")
    page.reload()
    page.click("#next")
    shown = page.locator("#steps li:not([hidden])")

    expect(page.locator("#outcome")).to_be_hidden()
    before = shown.count()
    page.click("#next")
    assert shown.count() == before + 1
    page.click("#all")
    outcome_is(page, "201 完成")
    assert shown.count() == 10


def test_the_keyboard_is_enough(visited: Visit) -> None:
    """Without a mouse, a fault is chosen, the login is sent, and the token of before is checked."""
    page = visited.page

    def tab_to(selector: str) -> None:
        for _ in range(30):
            if page.evaluate("selector => document.activeElement.matches(selector)", selector):
                return
            page.keyboard.press("Tab")
        pytest.fail(f"Tab does not lead to {selector}")

    tab_to("input[name=scenario]")
    page.keyboard.press("ArrowDown")
    tab_to("button.main")
    page.keyboard.press("Enter")
    outcome_is(page, "400 code_used")
    tab_to("#check-phone")
    page.keyboard.press("Space")
    outcome_is(page, "204 完成")


@pytest.mark.parametrize("locale", ["zh-CN", "en-GB"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_page_fits_the_screen(chromium: Browser, url: str, size: tuple[int, int], locale: str) -> None:
    """On a desktop and on a phone of 390 pixels, in Chinese and in English, nothing is wider than the screen."""
    with visit(chromium, url, size, locale) as opened:
        outcome_is(opened.page, "201 完成" if locale == "zh-CN" else "201 done")

        assert not opened.overflows
        assert opened.console == []
        opened.page.click("#language")
        outcome_is(opened.page, "201 done" if locale == "zh-CN" else "201 完成")
        assert not opened.overflows


def test_every_step_has_a_chinese_label(url: str) -> None:
    """The page translates each label that a step can have."""
    page = fetch(f"{url}/").text
    labels = {label for pair in [*CALLS.values(), AGAIN, ("", "done")] for label in pair} - {""}

    assert [label for label in labels if f'"{label}":' not in page] == []


def test_the_controls_refuse_nonsense(url: str) -> None:
    """Unknown traces, users and stores get an error and change nothing."""
    json = {"Content-Type": "application/json"}

    assert fetch(f"{url}/demo/traces/none").status_code == 404
    assert fetch(f"{url}/demo/users/none/block", "PUT").status_code == 404
    assert fetch(f"{url}/demo/outages", "POST", content='{"store":"identities"}', headers=json).status_code == 400
