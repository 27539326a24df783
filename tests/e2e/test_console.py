"""The console, used as operators use it: in a browser, by mouse and by keyboard, on a desktop and on a phone."""

import re
import secrets
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from support.browser import DESKTOP, PHONE, Visit, visit
from support.console import Installation, installation, sign_in
from support.processes import APPID, Sandbox
from support.servers import sqlite_url

HOSTILE = [
    "<script>document.title='taken'</script>",
    '"><img src=x onerror="document.title=\'taken\'">',
    "{{ 7 * 7 }}${7*7}",
    "\u202emoc.elpmaxe\u202c",
    "👩‍👩‍👧‍👦" * 5,
    "长" * 64,
]


@pytest.fixture(scope="module")
def console(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A service and its console."""
    with installation(sandbox, sqlite_url(tmp_path_factory.mktemp("console"))) as running:
        yield running


@pytest.fixture(scope="module")
def quiet(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A service whose audit trail has no starts of sessions, and its console."""
    with installation(sandbox, sqlite_url(tmp_path_factory.mktemp("quiet")), audit_sessions="false") as running:
        yield running


on_each_screen = pytest.mark.parametrize("visited", [DESKTOP, PHONE], indirect=True, ids=["desktop", "phone"])


@pytest.fixture
def visited(chromium: Browser, console: Installation, request: pytest.FixtureRequest) -> Iterator[Visit]:
    """The console in English, signed in with a key that allows all. It writes no error, and asks no other host.

    The screen is that of a desktop unless a test gives another size.
    """
    with visit(chromium, console.url, getattr(request, "param", DESKTOP), locale="en-GB") as opened:
        sign_in(opened.page)
        yield opened
        assert not opened.overflows
        assert opened.console == []
        assert opened.hosts == {console.admin.url.removeprefix("http://")}


@pytest.fixture
def page(visited: Visit) -> Page:
    """The same, as a page."""
    return visited.page


def phone_number() -> str:
    """Return a phone number that no other test uses."""
    return f"+86138{secrets.randbelow(10**8):08}"


def find(page: Page, term: str) -> None:
    """Search for a user."""
    page.fill("#term", term)
    page.press("#term", "Enter")


def said(page: Page, text: str) -> None:
    """Wait until the page says what was done."""
    expect(page.locator("p.done")).to_have_text(text)


def tab_to(page: Page, selector: str) -> None:
    """Press Tab until the element has the focus."""
    page.wait_for_selector(selector)
    for _ in range(80):
        if page.evaluate("selector => document.activeElement?.matches(selector)", selector):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"no Tab leads to {selector}")


@on_each_screen
def test_a_user_is_found_by_phone_in_two_steps(console: Installation, page: Page) -> None:
    """The number and Enter lead to the user's page, with profile, accounts, devices and trail."""
    phone = phone_number()
    person = console.person(name="王小明", phone=phone)
    page.keyboard.type(phone.removeprefix("+86"))
    page.keyboard.press("Enter")

    expect(page.locator("h1")).to_contain_text("王小明")
    assert page.url == f"{console.url}users/{person.id}"
    content = page.inner_text("main")
    for shown in (person.id, phone, person.openid, APPID, "iPhone · iOS 17.4 · WeChat 8.0.49", "user.phone_bound"):
        assert shown in content


@pytest.mark.parametrize("form", ["+86 138-{0}-{1}", "0086138{0}{1}", "86138{0}{1}", "１３８{0}{1}", "138 {0} {1}"])
def test_a_phone_number_is_recognised_however_it_is_written(console: Installation, page: Page, form: str) -> None:
    """Blanks, hyphens, wide digits, and the country code in each way lead to the user."""
    phone = phone_number()
    person = console.person(phone=phone)
    find(page, form.format(phone[6:10], phone[10:]))

    expect(page).to_have_url(f"{console.url}users/{person.id}")


def test_the_other_fields_find_a_user(console: Installation, page: Page) -> None:
    """Openid, unionid and id lead to the user, and an unknown term says that there is no such user."""
    unionid = f"u{secrets.token_hex(8)}"
    person = console.person(unionid=unionid)
    for term in (person.openid, unionid, person.id.upper()):
        page.goto(console.url)
        find(page, term)
        expect(page).to_have_url(f"{console.url}users/{person.id}")
    page.goto(console.url)
    find(page, "nobody")

    expect(page.locator("main")).to_contain_text("No user has this phone number")


def test_lists_show_phone_numbers_masked(console: Installation, page: Page) -> None:
    """The list has 138****0000. Two users with one number are a list, and its address has no number."""
    phone = phone_number()
    for name in ("One", "Two"):
        console.person(name=name, phone=phone)
    find(page, phone)

    expect(page.locator("h2")).to_have_text("2 users found")
    assert page.locator("tbody tr").count() == 2
    assert f"138****{phone[-4:]}" in page.inner_text("table")
    assert phone[3:] not in page.inner_text("main")
    assert phone[3:] not in page.url


@on_each_screen
def test_a_device_is_logged_out(console: Installation, page: Page) -> None:
    """The page of a device asks, says afterwards that its session ended, and the other device stays logged in."""
    person = console.person(name="Ann")
    newer = console.person(person.openid)
    page.goto(f"{console.url}users/{person.id}")
    page.locator("tbody a.button").first.click()
    expect(page.locator("h1")).to_have_text("End this session of Ann?")
    assert console.service.auth(newer.token).status_code == 204
    page.click("button.danger")
    said(page, "The session ended.")

    assert [console.service.auth(each.token).status_code for each in (person, newer)] == [204, 401]
    expect(page.locator("main")).to_contain_text("admin:ann")


def test_all_sessions_are_ended(console: Installation, page: Page) -> None:
    """All devices of a user are logged out."""
    person = console.person(name="Ann")
    again = console.person(person.openid)
    page.goto(f"{console.url}users/{person.id}")
    page.click("text=End all sessions")
    expect(page.locator("main")).to_contain_text("2 devices are logged out")
    page.click("button.danger")
    said(page, "2 sessions ended.")

    assert [console.service.auth(each.token).status_code for each in (person, again)] == [401, 401]


@on_each_screen
def test_a_user_is_blocked_with_a_reason(console: Installation, page: Page) -> None:
    """A block needs a reason, ends the sessions, and is shown with its reason, until the user is unblocked."""
    person = console.person(name="Ann")
    page.goto(f"{console.url}users/{person.id}")
    page.click("main >> text=Block")
    page.click("button.danger")
    assert "/block" in page.url
    page.fill("#reason", "spam <b>links</b>")
    page.click("button.danger")
    said(page, "The user is blocked. One session ended.")
    expect(page.locator("dl")).to_contain_text("spam <b>links</b>")
    assert console.service.auth(person.token).status_code == 401
    page.click("text=Unblock")
    page.click("button.main")
    said(page, "The user is unblocked.")

    assert console.person(person.openid).id == person.id


def test_a_question_may_be_answered_no(console: Installation, page: Page) -> None:
    """Cancel leads back, and nothing has changed."""
    person = console.person(name="Ann")
    page.goto(f"{console.url}users/{person.id}/block")
    page.click("text=Cancel")

    expect(page).to_have_url(f"{console.url}users/{person.id}")
    assert console.service.auth(person.token).status_code == 204


@on_each_screen
def test_a_conflict_is_resolved(console: Installation, page: Page) -> None:
    """A conflict shows both users side by side. The name that is lost has to be confirmed before the merge."""
    one, other = console.conflict()
    page.goto(f"{console.url}conflicts")
    page.locator("tr", has=page.locator(f'a[href$="{one.id}"]')).get_by_text("Compare").click()
    expect(page.locator("tr.differs")).to_contain_text("Li Lei")
    assert {one.id, other.id} <= set(page.locator(".pair code").all_inner_texts())
    page.click("text=The second user: 李雷")
    expect(page.locator("h1")).to_have_text("Merge Li Lei into 李雷?")
    page.click("button.danger")
    assert "/merge/confirm" in page.url
    page.check("input[type=checkbox]")
    page.click("button.danger")
    expect(page.locator("p.done")).to_contain_text("The users are merged. 2 sessions were moved.")

    assert page.url == f"{console.url}users/{other.id}"
    assert one.openid in page.inner_text("main")
    page.goto(f"{console.url}users/{one.id}")
    expect(page).to_have_url(f"{console.url}users/{other.id}")


def test_the_reasons_of_failed_logins_are_shown(console: Installation, page: Page) -> None:
    """The failures are there by code and errcode, with what to do, in the language of the reader."""
    console.fail()
    page.goto(f"{console.url}failures")
    failure = page.locator("section.failure", has_text="errcode 40163")
    expect(failure).to_contain_text("code_used")
    expect(failure).to_contain_text("every login needs a code of its own")
    expect(page.locator("section.failure", has_text="app_unknown")).to_contain_text("WXLOGIN_APPS")
    page.click("text=中文")

    expect(page.locator("section.failure", has_text="errcode 40163")).to_contain_text("每次登录都要用新的 code")


def test_new_logins_appear_live(console: Installation, page: Page) -> None:
    """A new login appears on the open page by itself, until the reader pauses."""
    page.goto(f"{console.url}live")
    expect(page.locator("#following")).to_have_text("Following")
    person = console.person()
    expect(page.locator("#logins tbody tr").first).to_contain_text(person.id)
    page.click("#pause")
    expect(page.locator("#following")).to_have_text("Paused")
    later = console.person()
    page.click("#pause")

    expect(page.locator("#logins tbody tr").first).to_contain_text(later.id)


def test_live_logins_end_with_the_session(console: Installation, page: Page) -> None:
    """A page that follows logins leads to the sign-in when its session ended elsewhere, and then back."""
    page.goto(f"{console.url}live")
    other = page.context.new_page()
    other.goto(console.url)
    other.click("text=Sign out")
    expect(page).to_have_url(re.compile(r"/admin/sign-in\?next="), timeout=30_000)
    sign_in(page)

    expect(page).to_have_url(f"{console.url}live")


def test_the_audit_trail_is_filtered(console: Installation, page: Page) -> None:
    """The trail is filtered by event, user and actor, and its pages have each event once."""
    person = console.person()
    console.admin.send("PUT", f"/users/{person.id}/block", json={"reason": "first"})
    page.goto(f"{console.url}users/{person.id}")
    page.click("text=The whole trail of this user")
    page.select_option("#type", "user.blocked")
    page.fill("#actor", "admin:ann")
    page.click("form.filters button")

    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator("tbody tr")).to_contain_text("first")


def test_long_lists_have_pages(console: Installation, page: Page) -> None:
    """With more than fifty users, the next page has others."""
    for _ in range(51):
        console.person()
    page.goto(console.url)
    links = page.locator("tbody a")
    first = {str(each.get_attribute("href")) for each in links.all()}
    page.click("text=Next page")
    expect(page.locator("text=First page")).to_be_visible()
    second = {str(each.get_attribute("href")) for each in links.all()}

    assert len(first) == 50
    assert second
    assert not first & second


def test_every_job_is_done_by_keyboard(chromium: Browser, console: Installation) -> None:
    """Tab, Enter, Space and letters suffice: to sign in, find, block, merge, filter, pause and sign out."""
    phone = phone_number()
    person = console.person(name="Ann", phone=phone)
    one, other = console.conflict()
    with visit(chromium, console.url, locale="en-GB") as opened:
        page = opened.page
        tab_to(page, "#key")
        page.keyboard.type("wxadmin_key-of-ann\n")
        expect(page.locator("#term")).to_be_focused()
        page.keyboard.type(f"{phone}\n")
        expect(page).to_have_url(f"{console.url}users/{person.id}")
        tab_to(page, "td.act a")
        page.keyboard.press("Enter")
        tab_to(page, "button.danger")
        page.keyboard.press("Enter")
        said(page, "The session ended.")
        tab_to(page, "a[href$='/block']")
        page.keyboard.press("Enter")
        expect(page.locator("#reason")).to_be_focused()
        page.keyboard.type("spam\n")
        expect(page.locator("p.done")).to_be_focused()
        tab_to(page, "a[href='/admin/conflicts']")
        page.keyboard.press("Enter")
        tab_to(page, f"a[href*='first={one.id}']")
        page.keyboard.press("Enter")
        tab_to(page, f"a[href*='target={other.id}']")
        page.keyboard.press("Enter")
        tab_to(page, "input[type=checkbox]")
        page.keyboard.press("Space")
        tab_to(page, "button.danger")
        page.keyboard.press("Enter")
        expect(page).to_have_url(f"{console.url}users/{other.id}")
        tab_to(page, "a[href='/admin/live']")
        page.keyboard.press("Enter")
        tab_to(page, "#pause")
        page.keyboard.press("Space")
        expect(page.locator("#following")).to_have_text("Paused")
        tab_to(page, "form[action='/admin/sign-out'] button")
        page.keyboard.press("Enter")
        said(page, "You are signed out.")

        assert opened.console == []


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_no_text_of_a_user_becomes_html(console: Installation, page: Page, text: str) -> None:
    """What users give as their profile is shown as it is, on each page, and runs nothing."""
    profile = dict.fromkeys(("language", "province", "city", "country"), text[:32])
    person = console.person(name=text, avatar=f"https://example.invalid/{text}"[:1024], **profile)
    other = console.person(name="plain")
    paths = ["", f"users/{person.id}", f"users/{person.id}/block", f"merge?first={person.id}&second={other.id}"]
    for path in [*paths, f"merge/confirm?source={person.id}&target={other.id}"]:
        page.goto(f"{console.url}{path}")

        assert "taken" not in page.title() or path.startswith(("users", "merge/"))
        assert page.evaluate("document.querySelectorAll('main img, main script').length") == 0
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert text.strip() in page.locator("label.choice").first.inner_text()


def test_a_reason_is_escaped_in_the_trail(console: Installation, page: Page) -> None:
    """A reason with HTML is text in the trail."""
    person = console.person()
    console.admin.send("PUT", f"/users/{person.id}/block", json={"reason": "<img src=x>\u202e"})
    page.goto(f"{console.url}audit?user={person.id}")

    assert page.locator("main img").count() == 0
    assert "<img src=x>" in page.inner_text("main")


def test_the_console_is_shown_in_no_frame(chromium: Browser, console: Installation) -> None:
    """A page that puts the console into a frame gets an error of the browser, also of an operator who is signed in."""
    with visit(chromium, console.url) as opened:
        sign_in(opened.page)
        attacker = opened.page.context.new_page()
        attacker.set_content(f"<iframe src='{console.url}'></iframe>")
        attacker.wait_for_timeout(500)

        assert [frame.url for frame in attacker.frames[1:]] == ["chrome-error://chromewebdata/"]


def test_a_key_without_write_has_no_actions(chromium: Browser, console: Installation) -> None:
    """With a key that only reads, the pages have no buttons that change something."""
    person = console.person()
    one, other = console.conflict()
    with visit(chromium, console.url, locale="en-GB") as opened:
        sign_in(opened.page, "reader")
        for path in (f"users/{person.id}", f"merge?first={one.id}&second={other.id}"):
            opened.page.goto(f"{console.url}{path}")

            assert opened.page.locator("main a.button, main button").count() == 0


def test_language_and_theme_are_chosen_and_remembered(chromium: Browser, console: Installation) -> None:
    """The language is that of the browser and the theme that of the system, until the reader chooses others."""
    with visit(chromium, console.url, locale="zh-CN", color_scheme="dark") as opened:
        page = opened.page
        background = "getComputedStyle(document.body).backgroundColor"
        expect(page.locator("h1")).to_have_text("登录")
        dark = page.evaluate(background)
        page.click("text=English")
        expect(page.locator("h1")).to_have_text("Sign in")
        page.click("text=Theme: system")
        page.wait_for_selector("text=Theme: light")
        light = page.evaluate(background)
        sign_in(page)

        assert dark != light
        assert page.evaluate(background) == light
        assert page.locator("h1").inner_text() == "Users"


def test_times_are_in_the_zone_of_the_reader(chromium: Browser, console: Installation) -> None:
    """Times are shown in the reader's zone, with UTC as their title; without scripts in UTC, which is said."""
    console.person()
    with visit(chromium, console.url, timezone_id="Asia/Shanghai", locale="en-GB") as opened:
        sign_in(opened.page)
        local = opened.page.locator("time").first
        shown, title = local.inner_text(), str(local.get_attribute("title"))
        assert title.endswith(" UTC")
        assert (int(shown[11:13]) - int(title[11:13])) % 24 == 8
        assert "Asia/Shanghai" in opened.page.inner_text("footer")
    with visit(chromium, console.url, java_script_enabled=False, locale="en-GB") as opened:
        sign_in(opened.page)

        assert opened.page.locator("time").first.inner_text().endswith(" UTC")
        assert "UTC" in opened.page.inner_text("footer")


def test_a_reader_may_follow_without_every_login(quiet: Installation, chromium: Browser) -> None:
    """Without WXLOGIN_AUDIT_SESSIONS, the page says so and shows the first logins of new users."""
    person = quiet.person()
    quiet.person(person.openid)
    with visit(chromium, quiet.url, locale="en-GB") as opened:
        sign_in(opened.page)
        opened.page.click("text=Live")
        expect(opened.page.locator("main")).to_contain_text("WXLOGIN_AUDIT_SESSIONS")
        expect(opened.page.locator("#logins tbody tr")).to_have_count(1)
        expect(opened.page.locator("#logins tbody tr")).to_contain_text("new user")


def test_the_console_waits_while_the_process_is_away(console: Installation, page: Page) -> None:
    """While no answer comes, the page that follows logins says so, and goes on afterwards."""
    page.goto(f"{console.url}live")
    page.evaluate("window.realFetch = fetch; window.fetch = () => Promise.reject(new Error('away')); null")
    expect(page.locator("#following")).to_contain_text("No answer")
    page.evaluate("window.fetch = window.realFetch; null")

    expect(page.locator("#following")).to_have_text("Following")
