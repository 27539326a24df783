"""Logging in on examples/website by scanning its code: a browser, a QR reader, and phones with examples/miniprogram."""

import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from support import processes
from support.browser import DESKTOP, PHONE, Visit, visit
from support.pages import blocks
from support.plain_http import fetch
from support.processes import Sandbox
from support.scan_service import CLIENT, CLIENT_SECRET, ScanService, scan_service
from support.servers import wait_until
from support.website import LONG_PRESS, WEBSITE, Phone, phone, read_scene, website

FAILED_FETCH = "Failed to load resource: the server responded with a status of"
"""What Chromium writes into the console for a response that is an error."""

WECHAT = (
    "Mozilla/5.0 (Linux; Android 15; PJD110) AppleWebKit/537.36 Chrome/130.0 Mobile Safari/537.36 MicroMessenger/8.0.54"
)

Take = Callable[[], Phone]


@pytest.fixture(scope="module")
def wechat() -> Iterator[Sandbox]:
    """A WeChat of this file's own, whose calls may fail."""
    with processes.sandbox() as running:
        yield running


@pytest.fixture(scope="module")
def service(wechat: Sandbox, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScanService]:
    """The service."""
    with scan_service(wechat.url, redis_url, tmp_path_factory.mktemp("service")) as running:
        yield running


@pytest.fixture(scope="module")
def url(service: ScanService) -> Iterator[str]:
    """The address of the website."""
    with website(service.url, CLIENT, CLIENT_SECRET) as address:
        yield address


@pytest.fixture
def visited(chromium: Browser, url: str) -> Iterator[Visit]:
    """The website in a new browser, which asks no other host and complains about nothing but refused requests."""
    with visit(chromium, url) as opened:
        yield opened
        assert opened.hosts <= {url.removeprefix("http://"), ""}
        assert [line for line in opened.console if FAILED_FETCH not in line] == []


@pytest.fixture
def page(visited: Visit) -> Page:
    """The page of the website."""
    return visited.page


@pytest.fixture
def take(service: ScanService, wechat: Sandbox, installed: Path) -> Iterator[Take]:
    """A function that takes the phone of a new user."""
    with ExitStack() as phones:
        yield lambda: phones.enter_context(phone(service.url, wechat.url, installed))


def number_on(page: Page) -> str:
    """Return the number that the page shows."""
    return page.inner_text("#number")


def is_over(page: Page, text: str) -> None:
    """Wait until the page says why its code is over."""
    expect(page.locator("#over-text")).to_have_text(text)


def log_in(page: Page, phone: Phone) -> None:
    """Log in on the page by the phone."""
    phone.scan(page)
    phone.approve(number_on(page))
    expect(page.locator("#user-id")).to_be_visible()


def test_a_scan_logs_in(page: Page, take: Take) -> None:
    """A user scans the code, sees who asks from where, picks the number, and is logged in; both devices are listed."""
    mine = take()
    asked = mine.scan(page)["asked"]
    number = number_on(page)
    done = mine.approve(number)["done"]
    expect(page.locator("#user-id")).to_have_text(re.compile("."))
    labels = [device["name"] for device in mine.devices()]

    assert (asked["client"], asked["ip"]) == (CLIENT, "127.0.0.1")
    assert re.fullmatch(r"Linux · Chrome \d+", asked["browser"])
    assert number in asked["numbers"]
    assert len(set(asked["numbers"])) == 3
    assert "已提交" in done
    assert asked["browser"] in labels
    assert len(labels) == 2


def test_the_page_says_that_its_code_was_scanned(page: Page, take: Take) -> None:
    """After a scan the page says in both languages to go on with the phone, and still shows the number."""
    mine, scanned = take(), page.locator("#scanned")
    read_scene(page)
    expect(scanned).to_be_empty()
    mine.scan(page)
    expect(scanned).to_have_text("已扫码，请在手机上确认")
    page.click("#language")
    expect(scanned).to_have_text("Scanned. Confirm on your phone.")
    page.reload()
    expect(scanned).to_have_text("已扫码，请在手机上确认")
    expect(page.locator("#number")).to_be_visible()
    mine.deny()
    is_over(page, "登录被拒绝了")

    expect(scanned).to_be_empty()


def test_the_browser_gets_a_cookie_and_no_secret(page: Page, take: Take) -> None:
    """All that the page gets is the code's own state, and the user; a login changes the cookie."""
    bodies: list[dict[str, object]] = []
    page.on(
        "response", lambda answer: bodies.append(answer.json()) if "json" in answer.headers["content-type"] else None
    )
    page.reload()
    read_scene(page)
    (before,) = page.context.cookies()
    log_in(page, take())
    (after,) = page.context.cookies()
    keys = {key for body in bodies for key in body}

    assert keys == {"id", "state", "scanned", "number", "seconds", "user"}
    assert page.evaluate("document.cookie") == ""
    assert (after["httpOnly"], after["sameSite"]) == (True, "Lax")
    assert before["value"] != after["value"]
    page.reload()
    expect(page.locator("#user-id")).to_be_visible()


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_the_commands_of_the_page_log_in(name: str, page: Page, service: ScanService, wechat: Sandbox) -> None:
    """The commands that do what the phone does, on the page about the website, log in with the number of the page."""
    (commands,) = [block for block in blocks((WEBSITE / name).read_text("utf-8"), "sh") if "/v1/scans" in block]
    read_scene(page)
    here = {"http://127.0.0.1:8001": wechat.url, "http://127.0.0.1:8000": service.url, '"42"': f'"{number_on(page)}"'}
    for there, address in here.items():
        commands = commands.replace(there, address)
    done = subprocess.run(["sh", "-c", commands], capture_output=True, text=True, timeout=60, check=True)
    expect(page.locator("#user-id")).to_be_visible()

    assert '"match_numbers":' in done.stdout


def test_a_refusal_is_shown(page: Page, take: Take) -> None:
    """A user who refuses reads so on the phone and on the page, and the next code logs in."""
    mine = take()
    mine.scan(page)
    refused = mine.deny()
    is_over(page, "登录被拒绝了")

    assert refused["done"] == "已拒绝，网页没有登录"
    page.click("#again")
    log_in(page, mine)


def test_a_code_in_a_picture_is_refused(page: Page, take: Take) -> None:
    """A user who presses on a picture of the code is asked to use the camera. The code is still there for a scan."""
    sent, mine = take(), take()
    shown = sent.open(read_scene(page), LONG_PRESS)
    log_in(page, mine)

    assert shown["asked"] is None
    assert "用相机直接扫描网页上的码" in shown["done"]


def test_a_wrong_number_refuses(page: Page, take: Take) -> None:
    """One wrong number ends the code: the right one does not help any more."""
    mine = take()
    asked, right = mine.scan(page)["asked"], number_on(page)
    scene = read_scene(page)
    mine.approve(next(number for number in asked["numbers"] if number != right))
    is_over(page, "登录被拒绝了")

    assert "已失效" in mine.open(scene)["done"]


def test_the_first_look_ties_the_code_to_a_user(page: Page, take: Take) -> None:
    """Whoever scans a code that another user has scanned learns nothing about it, and does not disturb the login."""
    mine, foreign = take(), take()
    mine.scan(page)
    shown = foreign.scan(page)
    mine.approve(number_on(page))
    expect(page.locator("#user-id")).to_be_visible()

    assert shown["asked"] is None
    assert "已失效" in shown["done"]


def test_a_code_expires(page: Page, take: Take, service: ScanService) -> None:
    """After two minutes the page offers a new code. The old one is of no use, also to who scanned it in time."""
    mine = take()
    mine.scan(page)
    old = read_scene(page)
    service.advance(121)
    is_over(page, "码已失效")

    assert "已失效" in mine.approve("00")["done"]
    page.click("#again")
    expect(page.locator("#over")).to_be_hidden()
    assert read_scene(page) != old
    log_in(page, mine)


def test_a_reload_keeps_the_code(page: Page, take: Take, wechat: Sandbox) -> None:
    """A page that is loaded again shows the same code and number, and WeChat draws no other."""
    before, drawn = (read_scene(page), number_on(page)), len(wechat.calls_of("/wxa/getwxacodeunlimit"))
    page.reload()

    assert (read_scene(page), number_on(page)) == before
    assert len(wechat.calls_of("/wxa/getwxacodeunlimit")) == drawn
    log_in(page, take())


def test_two_tabs_share_a_login(page: Page, url: str, take: Take) -> None:
    """Two tabs of a browser show one code. The token comes once, and logs both in."""
    read_scene(page)
    other = page.context.new_page()
    other.goto(url)
    assert read_scene(other) == read_scene(page)
    log_in(page, take())

    expect(other.locator("#user-id")).to_have_text(page.inner_text("#user-id"))


def test_two_tabs_that_open_at_once_agree(page: Page, url: str, take: Take) -> None:
    """Of two codes for one browser the later one counts, and both tabs show it."""
    read_scene(page)
    page.context.clear_cookies()  # as if the other tab had been opened before the first one had its cookie
    other = page.context.new_page()
    other.goto(url)
    newest = read_scene(other)
    wait_until(lambda: read_scene(page) == newest, "the same code")
    log_in(page, take())

    expect(other.locator("#user-id")).to_have_text(page.inner_text("#user-id"))


def test_the_service_may_be_away_in_between(page: Page, take: Take, service: ScanService) -> None:
    """While the session store is away the page says so and keeps its code, which logs in afterwards."""
    mine = take()
    mine.scan(page)
    with service.outage():
        expect(page.locator("#trouble")).to_have_text("暂时连不上登录服务，正在重试……")
        failed = mine.approve(number_on(page))
    again = mine.approve(number_on(page))
    expect(page.locator("#user-id")).to_be_visible(timeout=20_000)

    assert failed["error"] == "服务繁忙，请稍后再试"
    assert failed["asked"]
    assert "已提交" in again["done"]


def test_the_quota_of_wechat_is_used_up(page: Page, wechat: Sandbox, take: Take) -> None:
    """When WeChat draws no more codes this minute, the page says when to try again, and its button does."""
    mine = take()
    mine.scan(page)
    mine.deny()
    is_over(page, "登录被拒绝了")
    wechat.fail(path="/wxa/getwxacodeunlimit", errcode=45009)
    page.click("#again")
    expect(page.locator("#trouble")).to_have_text(re.compile(r"现在登录的人太多，请 \d+ 秒后再试"))
    is_over(page, "没能取得登录码")

    page.click("#again")
    log_in(page, mine)


def test_a_log_out_ends_the_session(page: Page, take: Take) -> None:
    """Logging out on the website ends its session in the service, too, and shows a new code."""
    mine = take()
    log_in(page, mine)
    page.click("#logout")
    read_scene(page)

    assert [device["current"] for device in mine.devices()] == [True]


def test_the_phone_logs_the_website_out(page: Page, take: Take) -> None:
    """A user who ends the website's session on the phone is logged out there with the next page."""
    mine = take()
    log_in(page, mine)
    mine.end_others()
    page.reload()

    read_scene(page)
    expect(page.locator("#user")).to_be_hidden()


def test_wechats_own_browser_gets_no_code(chromium: Browser, url: str, wechat: Sandbox) -> None:
    """Inside WeChat there is no second screen: the page points to the mini-program, and no code is drawn."""
    drawn = len(wechat.calls_of("/wxa/getwxacodeunlimit"))
    with visit(chromium, url, PHONE, user_agent=WECHAT) as opened:
        expect(opened.page.locator("#wechat")).to_contain_text("请在小程序里登录")

        assert opened.console == []
        assert opened.page.context.cookies() == []
    assert len(wechat.calls_of("/wxa/getwxacodeunlimit")) == drawn


def test_a_browser_without_the_cookie_gets_nothing(page: Page, url: str) -> None:
    """The code of a browser is of use to that browser alone."""
    read_scene(page)

    assert fetch(f"{url}/login").json() == {"state": "expired"}
    assert fetch(f"{url}/login/picture").status_code == 404
    assert fetch(f"{url}/me").json() == {"user": None}


@pytest.mark.parametrize("locale", ["zh-CN", "en-GB"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_page_fits_the_screen(chromium: Browser, url: str, size: tuple[int, int], locale: str) -> None:
    """On a desktop and at 390 pixels, in both languages, the code can be read and nothing is wider than the screen."""
    titles = {"zh-CN": "微信扫码登录", "en-GB": "Log in with WeChat"}
    with visit(chromium, url, size, locale) as opened:
        read_scene(opened.page)
        expect(opened.page.locator("#scan h1")).to_have_text(titles.pop(locale))

        assert not opened.overflows
        assert opened.console == []
        opened.page.click("#language")
        expect(opened.page.locator("#scan h1")).to_have_text(titles.popitem()[1])
        assert not opened.overflows


def test_the_policy_of_the_page_is_strict(url: str) -> None:
    """The page may load nothing from elsewhere, and runs its own script only, by a nonce that never comes twice."""
    policies = [fetch(url).headers["content-security-policy"] for _ in range(2)]

    assert policies[0] != policies[1]
    for policy in policies:
        nonce = re.findall(r"script-src 'nonce-([\w-]{22})';", policy)
        assert len(nonce) == 1
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy


def test_a_blocked_user_is_logged_out(page: Page, take: Take, service: ScanService) -> None:
    """A block ends the website's session with the others."""
    log_in(page, take())
    service.block(page.inner_text("#user-id"))
    page.reload()

    read_scene(page)
    expect(page.locator("#user")).to_be_hidden()


def test_a_user_blocked_before_the_decision_cannot_approve(page: Page, take: Take, service: ScanService) -> None:
    """A user who is blocked after the scan logs nobody in, and the website learns nothing of the user."""
    mine = take()
    log_in(page, mine)
    user = page.inner_text("#user-id")
    page.click("#logout")
    mine.scan(page)
    number = number_on(page)
    service.block(user)
    mine.approve(number)  # the phone is logged out, or reads that the account is blocked
    service.advance(121)
    is_over(page, "码已失效")

    assert user not in page.content()


def hide(page: Page, *, hidden: bool) -> None:
    """Put the page into the background, or back."""
    page.evaluate("value => Object.defineProperty(document, 'hidden', { value, configurable: true })", hidden)


def test_a_user_blocked_after_the_decision_gets_no_session(page: Page, take: Take, service: ScanService) -> None:
    """A block between the approval and the next poll wins: the website gets no token."""
    mine = take()
    log_in(page, mine)
    user = page.inner_text("#user-id")
    page.click("#logout")
    mine.scan(page)
    page.evaluate(
        "Object.defineProperty(document, 'hidden', { value: true, configurable: true })"
    )  # the page stops polling
    mine.approve(number_on(page))
    service.block(user)
    hide(page, hidden=False)

    is_over(page, "登录被拒绝了")


def start_device_login(service: ScanService) -> dict[str, Any]:
    """Ask for a code, as a website's backend does."""
    answer = fetch(
        f"{service.url}/oauth2/device_authorization", "POST", data={"ip": "203.0.113.7"}, auth=(CLIENT, CLIENT_SECRET)
    )
    begun: dict[str, Any] = answer.raise_for_status().json()
    assert fetch(begun["wxacode"]).headers["content-type"] == "image/png"
    return begun


def test_a_second_poll_gets_nothing(take: Take, service: ScanService) -> None:
    """The token is handed out once. The second poll is an error of RFC 8628, and leaves the session alive."""
    mine, begun = take(), start_device_login(service)
    scene = begun["wxacode"].rpartition("/")[2].removesuffix(".jpg")
    mine.open(scene)
    mine.approve(begun["match_number"])
    form = {"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "device_code": begun["device_code"]}
    first, second = (
        fetch(f"{service.url}/oauth2/token", "POST", data=form, auth=(CLIENT, CLIENT_SECRET)) for _ in range(2)
    )

    assert (first.status_code, second.status_code) == (200, 400)
    assert second.json()["error"] in {"invalid_grant", "expired_token"}
    headers = {"Authorization": f"Bearer {first.json()['access_token']}"}
    assert fetch(f"{service.url}/v1/me", headers=headers).status_code == 200


def test_the_picture_is_drawn_once(service: ScanService, wechat: Sandbox) -> None:
    """However often the picture is asked for, WeChat draws it once."""
    begun = start_device_login(service)
    drawn = len(wechat.calls_of("/wxa/getwxacodeunlimit"))
    for _ in range(3):
        assert fetch(begun["wxacode"]).status_code == 200

    assert len(wechat.calls_of("/wxa/getwxacodeunlimit")) == drawn
