"""Attacks on the console: forged forms, frames, foreign sessions, wrong keys, and worthless cookies."""

import json
import re
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography.fernet import Fernet
from litestar.routes import HTTPRoute

from adapters.memory.rate_limiter import MemoryRateLimiter
from application.admin_access import AdminAccess
from application.rate_limits import Quota
from domain.admin import Admin, AdminKeys, Scope, digest_of
from entrypoints.admin.access import NEEDS, PREFIX
from entrypoints.admin.app import create_app
from entrypoints.admin.console.session import ConsoleSessions
from support import plain_http
from support.admin import KEYS, AdminApi
from support.console import ByHand, Installation, installation
from support.processes import KEY, Sandbox, environment, running
from support.servers import migrate_database, sqlite_url, wait_until

COOKIE = "wxlogin-console"


def unopened() -> Any:
    """Raise an error, because routes are listed without a container."""
    raise NotImplementedError


def forms() -> list[tuple[str, Scope | None]]:
    """Return the path and the scope of each form of the console, from the routes themselves."""
    return sorted(
        (re.sub(r"\{\w+:str\}", "nobody", route.path), handler.opt.get(NEEDS))
        for route in create_app(unopened).routes
        if isinstance(route, HTTPRoute) and route.path.startswith("/admin/") and not route.path.startswith(PREFIX)
        for handler in route.route_handlers
        if "POST" in handler.http_methods
    )


FORMS = forms()
CHANGES = [path for path, scope in FORMS if scope is Scope.WRITE]


@pytest.fixture(scope="module")
def console(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A service and its console, behind a proxy that the console trusts."""
    url = sqlite_url(tmp_path_factory.mktemp("attacks"))
    with installation(sandbox, url, trusted_proxies="127.0.0.1") as opened:
        yield opened


@pytest.fixture
def hand(console: Installation) -> ByHand:
    """A signed-in client that is no browser."""
    client = ByHand(console.admin.url)
    assert client.sign_in().status_code == 303
    return client


def cookies_of(answer: httpx2.Response) -> list[str]:
    """Return the cookies that an answer sets."""
    return answer.headers.get_list("set-cookie")


def opens(console: Installation, cookie: str) -> bool:
    """Return whether the cookie opens the console."""
    answer = plain_http.fetch(console.url, headers={"Cookie": f"{COOKIE}={cookie}"})
    assert answer.status_code in {200, 303}
    return answer.status_code == 200


def test_every_form_is_attacked() -> None:
    """The attacks reach the forms that change users and sessions, and the sign-out."""
    assert {path.rpartition("/")[2] for path in CHANGES} >= {"block", "unblock", "end", "confirm"}
    assert {path for path, scope in FORMS if scope is None} == {"/admin/sign-in", "/admin/preferences"}


@pytest.mark.parametrize("path", [path for path, scope in FORMS if scope])
@pytest.mark.parametrize("csrf", ["", "x", "of another session"])
def test_a_form_without_the_token_of_its_session_is_refused(
    console: Installation, hand: ByHand, path: str, csrf: str
) -> None:
    """A form without the token, with a wrong one, or with that of another session is refused."""
    other = ByHand(console.admin.url)
    other.sign_in()
    forged = {"": {}, "x": {"csrf": "x"}}.get(csrf, {"csrf": other.csrf})
    answer = hand.send("POST", path, data={"reason": "forged", **forged})
    in_query = hand.send("POST", path, params={"csrf": hand.csrf}, data={"reason": "forged"})

    assert [each.status_code for each in (answer, in_query)] == [403, 403]
    assert "text/html" in answer.headers["content-type"]
    assert hand.get("/admin/").status_code == 200


@pytest.mark.parametrize("path", [path for path, _ in FORMS])
@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://{host}"},
    ],
    ids=str,
)
def test_a_form_of_another_website_is_refused(
    console: Installation, hand: ByHand, path: str, headers: dict[str, str]
) -> None:
    """A form that another website sends is refused, even with the right token, and also to sign in."""
    host = console.admin.url.removeprefix("http://")
    sent = {name: value.format(host=host) for name, value in headers.items()}
    answer = hand.post(path, sent, key=KEYS["ann"][0], reason="forged")

    assert answer.status_code == 403
    assert COOKIE not in answer.headers.get("set-cookie", "")


def test_a_form_of_the_console_is_accepted(console: Installation, hand: ByHand) -> None:
    """A form with the token blocks the user, with what browsers send with it."""
    person = console.person()
    host = console.admin.url.removeprefix("http://")
    for number, headers in enumerate(({"Origin": f"http://{host}"}, {"Sec-Fetch-Site": "same-origin"}, {})):
        answer = hand.post(f"/admin/users/{person.id}/block", headers, reason=f"reason {number}")

        assert (answer.status_code, answer.headers["location"]) == (303, f"/admin/users/{person.id}")
    assert console.service.auth(person.token).status_code == 401


@pytest.mark.parametrize("path", CHANGES)
def test_a_key_without_write_changes_nothing(console: Installation, path: str) -> None:
    """A session with a key that only reads is refused each change, and each question before it."""
    reader = ByHand(console.admin.url)
    reader.sign_in("reader")
    answers = [reader.post(path, reason="forged"), reader.get(path)]

    assert [answer.status_code for answer in answers] == [403, 403]
    assert "Your key may not do this" in answers[0].text


@pytest.mark.parametrize("name", ["writer", "eraser"])
def test_a_key_without_read_does_not_sign_in(console: Installation, name: str) -> None:
    """A key that may not read gets no session."""
    answer = ByHand(console.admin.url).sign_in(name)

    assert answer.status_code == 403
    assert cookies_of(answer) == []


def test_a_form_ends_only_a_session_of_its_user(console: Installation, hand: ByHand) -> None:
    """A session of another user than the page's is not ended."""
    person, other = console.person(), console.person()
    session = console.admin.get(f"/users/{other.id}/sessions")["sessions"][0]["id"]
    answer = hand.post(f"/admin/users/{person.id}/sessions/{session}/end")

    assert answer.status_code == 303
    assert console.service.auth(other.token).status_code == 204


def test_what_is_lost_in_a_merge_is_confirmed_as_it_was_shown(console: Installation, hand: ByHand) -> None:
    """A confirmation of other values than those that are lost merges nothing."""
    one, other = console.conflict("First", "Second")
    form = {"source": one.id, "target": other.id, "discard": "name=Another=Second"}
    answer = hand.post("/admin/merge/confirm", None, **form)

    assert answer.status_code == 400
    assert console.admin.get(f"/users/{one.id}")["id"] == one.id


def test_the_cookie_is_for_the_browser_alone(console: Installation) -> None:
    """The cookie is HttpOnly, SameSite=Strict, for eight hours, and over TLS Secure and of this host alone."""
    plain = cookies_of(ByHand(console.admin.url).sign_in())
    secure = cookies_of(ByHand(console.admin.url, **{"X-Forwarded-Proto": "https"}).sign_in())
    parts = [[part.strip().lower() for part in each.split(";")] for (each,) in (plain, secure)]

    for each in parts:
        assert {"httponly", "samesite=strict", "path=/", "max-age=28800"} <= set(each)
        assert not any(part.startswith("domain") for part in each)
    assert ["secure" in each for each in parts] == [False, True]
    assert [each[0].partition("=")[0] for each in parts] == [COOKIE, f"__host-{COOKIE}"]


def test_an_unknown_proxy_cannot_say_that_there_is_tls(sandbox: Sandbox, sqlite_url: str) -> None:
    """Without trusted proxies, X-Forwarded-Proto changes nothing."""
    with installation(sandbox, sqlite_url) as untrusting:
        (cookie,) = cookies_of(ByHand(untrusting.admin.url, **{"X-Forwarded-Proto": "https"}).sign_in())

        assert cookie.startswith(f"{COOKIE}=")
        assert "secure" not in cookie.lower()


def test_a_sign_in_starts_a_session_of_its_own(console: Installation, hand: ByHand) -> None:
    """A cookie that was there before the sign-in is not used afterwards, neither a planted nor a live one."""
    planted = hand.cookies[COOKIE]
    victim = ByHand(console.admin.url, Cookie=f"{COOKIE}={planted}")
    (cookie,) = cookies_of(victim.send("POST", "/admin/sign-in", data={"key": KEYS["reader"][0]}))
    given = cookie.partition("=")[2].partition(";")[0]
    shown = plain_http.fetch(console.url, headers={"Cookie": f"{COOKIE}={given}"}).text

    assert given not in {planted, "made-up"}
    assert "reader" in shown
    assert hand.csrf not in shown
    assert not opens(console, "made-up")


def test_a_sign_out_ends_copies_of_the_cookie(console: Installation, hand: ByHand) -> None:
    """After a sign-out, the cookie is gone from the browser, and a stolen copy opens nothing."""
    stolen = hand.cookies[COOKIE]
    assert opens(console, stolen)
    answer = hand.post("/admin/sign-out")

    assert answer.headers["location"] == "/admin/sign-in"
    assert COOKIE not in hand.cookies
    assert not opens(console, stolen)


def sessions(clock: Callable[[], datetime], key: str = KEY) -> ConsoleSessions:
    """Return sessions of a console with this time and encryption key, and with the key of Ann."""
    admin = Admin("ann", frozenset({Scope.READ}))
    keys = AdminKeys({digest_of(KEYS["ann"][0]): admin, digest_of("unknown"): admin})
    return ConsoleSessions([key], AdminAccess(keys, Quota(MemoryRateLimiter(clock), None, "")), clock)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("age", "key", "admin_key", "is_open"),
    [
        (timedelta(0), KEY, KEYS["ann"][0], True),
        (timedelta(hours=7, minutes=55), KEY, KEYS["ann"][0], True),
        (timedelta(hours=8, seconds=2), KEY, KEYS["ann"][0], False),
        (-timedelta(hours=1), KEY, KEYS["ann"][0], False),
        (timedelta(0), Fernet.generate_key().decode(), KEYS["ann"][0], False),
        (timedelta(0), KEY, "unknown", False),
    ],
    ids=["new", "old", "expired", "from the future", "other encryption key", "unknown admin key"],
)
async def test_a_cookie_is_bound_to_time_and_keys(
    console: Installation, age: timedelta, key: str, admin_key: str, is_open: bool
) -> None:
    """A cookie opens the console for eight hours, with the encryption key and the admin key of the settings."""
    cookie, _ = await sessions(lambda: datetime.now(UTC) - age, key).start(admin_key, None)

    assert opens(console, cookie) is is_open


@pytest.mark.anyio
async def test_nothing_else_that_is_encrypted_is_a_cookie(console: Installation) -> None:
    """A text that the encryption keys themselves encrypt, as stores do, is no cookie."""
    content = json.dumps({"id": "x", "key": digest_of(KEYS["ann"][0]), "csrf": "x"}).encode()

    assert not opens(console, Fernet(KEY).encrypt(content).decode())


def test_a_removed_key_ends_its_sessions(sandbox: Sandbox, tmp_path: Path) -> None:
    """A reload without a key ends the sessions of that key, and those of other keys go on."""
    directory = tmp_path / "secrets"
    directory.mkdir()
    file = directory / "admin_keys"
    entries = {name: {"sha256": digest_of(KEYS[name][0]), "scopes": KEYS[name][1]} for name in ("ann", "reader")}
    file.write_text(json.dumps(entries))
    file.chmod(0o600)
    env = environment(wechat_url=sandbox.url, database_url=sqlite_url(tmp_path), secrets_dir=str(directory))
    migrate_database(env["WXLOGIN_DATABASE_URL"])
    with running("admin", "--port", "0", env=env) as process:
        url = process.event("serving")["url"]
        with plain_http.client(base_url=url) as http:
            api = AdminApi(process, http)
            wait_until(lambda: http.get("/healthz").status_code == 200, "admin")
            removed, kept = ByHand(api.url), ByHand(api.url)
            removed.sign_in("ann")
            kept.sign_in("reader")
            assert removed.get("/admin/").status_code == 200
            file.write_text(json.dumps({"reader": entries["reader"]}))
            process.process.send_signal(signal.SIGHUP)
            wait_until(lambda: removed.get("/admin/").status_code == 303, "the reload")

            assert kept.get("/admin/").status_code == 200


PAGES = ("/admin/sign-in", "/admin/", "/admin/live", "/admin/live/rows", "/admin/users/nobody", "/admin/audit?since=x")


@pytest.mark.parametrize("path", PAGES)
def test_every_page_forbids_frames_scripts_and_caches(hand: ByHand, path: str) -> None:
    """Each page has a policy without exceptions, is shown in no frame, and is stored nowhere."""
    client = hand if path != "/admin/sign-in" else ByHand(hand.url)
    answer = client.get(path)
    policy = answer.headers["content-security-policy"]

    assert {"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"} <= set(
        policy.split("; ")
    )
    assert "unsafe" not in policy
    assert "http" not in policy
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert not re.search(r"<script(?![^>]* src=)|<style|\son\w+=|style=", answer.text)


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "/admin/../../evil",
        "/admin//evil.example",
        "/admin/v1/users",
        "javascript:alert(1)",
        "/admin/\r\nSet-Cookie: x=y",
        "",
    ],
    ids=ascii,
)
def test_a_sign_in_leads_nowhere_else(console: Installation, target: str) -> None:
    """After a sign-in and a choice of language, the browser stays in the console."""
    client = ByHand(console.admin.url)
    answers = [client.sign_in(next=target), client.post("/admin/preferences", language="en", next=target)]

    for answer in answers:
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/admin/")
        assert not answer.headers["location"].startswith(PREFIX)
        assert "x" not in answer.cookies


def test_the_cookie_is_no_key_of_the_api(console: Installation, hand: ByHand) -> None:
    """The admin API takes no cookie, so that no website can use it with the browser of an operator."""
    assert hand.get("/admin/v1/users").status_code == 401
    assert plain_http.fetch(f"{console.admin.url}/admin/v1/users", headers={"Cookie": f"{COOKIE}=x"}).status_code == 401


def test_without_a_session_every_page_leads_to_the_sign_in(console: Installation) -> None:
    """Without a session, a page leads to the sign-in and then to the page, and a form changes nothing."""
    client = ByHand(console.admin.url)
    person = console.person()
    page = client.get("/admin/audit?type=user.blocked")
    form = client.post(f"/admin/users/{person.id}/block", reason="forged")

    assert page.headers["location"] == "/admin/sign-in?next=%2Fadmin%2Faudit%3Ftype%3Duser.blocked"
    assert form.headers["location"] == "/admin/sign-in"
    assert console.service.auth(person.token).status_code == 204


def test_wrong_keys_are_limited_and_not_logged(sandbox: Sandbox, sqlite_url: str) -> None:
    """After ten wrong keys in a minute, an address has to wait. A valid key still signs in, and no key is logged."""
    with installation(sandbox, sqlite_url) as limited:
        client = ByHand(limited.admin.url)
        wrong = [client.send("POST", "/admin/sign-in", data={"key": f"wrong-{n}"}).status_code for n in range(12)]

        assert wrong[:10] == [401] * 10
        assert wrong[-1] == 429
        assert client.sign_in().status_code == 303
        log = limited.admin.process.text()
        assert "admin_refused" in log
        assert "wrong-" not in log
        assert KEYS["ann"][0] not in log


def test_looks_at_users_are_logged(console: Installation, hand: ByHand) -> None:
    """The log says who looked at which user. It has neither the phone number nor what was searched for."""
    person = console.person(phone="+8613911112222")
    hand.post("/admin/search", term="+8613911112222")
    hand.get(f"/admin/users/{person.id}")
    wait_until(lambda: person.id in console.admin.process.text(), "the log")
    shown = [each for each in console.admin.process.events() if each.get("user_id") == person.id]

    assert [(each["event"], each["by"]) for each in shown] == [("console_user_shown", "admin:ann")]
    assert "13911112222" not in console.admin.process.text()


@pytest.mark.parametrize("term", ["%", "'; --", "\x00", "\ud7ff" * 128, "x" * 5000, "+", " ", "+1234567890123456789"])
def test_no_search_is_a_defect(hand: ByHand, term: str) -> None:
    """Whatever is searched for, the answer is that there is no such user."""
    answer = hand.post("/admin/search", term=term)

    assert answer.status_code == 200
    assert "No user has this" in answer.text


OPEN_FORMS = [path for path, scope in FORMS if scope is None]
BODIES = {
    "bytes": b'--b\r\nContent-Disposition: form-data; name="key"\r\n\r\n\xff\xfe\r\n--b--\r\n',
    "half a pair": b'--b\r\nContent-Disposition: form-data; name="key"\r\n\r\n\xed\xa0\x80\r\n--b--\r\n',
    "a name": b'--b\r\nContent-Disposition: form-data; name="\xff"\r\n\r\nx\r\n--b--\r\n',
    "a charset": b"--b\r\nContent-Disposition: form-data; name=key\r\nContent-Type: a/b; charset=x\r\n\r\nx\r\n--b--",
    "no end": b'--b\r\nContent-Disposition: form-data; name="key"\r\n',
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("path", [*OPEN_FORMS, *CHANGES[:1]])
def test_a_form_of_any_bytes_is_no_defect(hand: ByHand, path: str, body: bytes) -> None:
    """A multipart form that is malformed or not UTF-8 is refused, with a session and without one."""
    for client in (hand, ByHand(hand.url)):
        answer = client.send("POST", path, content=body, headers={"Content-Type": "multipart/form-data; boundary=b"})

        assert answer.status_code in {303, 400, 401, 403}, (path, answer.status_code)


@pytest.mark.parametrize("path", OPEN_FORMS)
@pytest.mark.parametrize("form", [b"key=%ED%A0%80&next=%ff", b"key=\xff\xfe", b"a=b&" * 15_000, b"=", b"%"], ids=ascii)
def test_a_form_of_any_text_is_no_defect(hand: ByHand, path: str, form: bytes) -> None:
    """A form with malformed escapes, and one with many fields, is read as far as possible."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"}

    assert ByHand(hand.url).send("POST", path, content=form, headers=headers).status_code in {303, 400, 401}


@pytest.mark.parametrize(
    "cookie", ["done_nope.1", "done_blocked.-1", "done_blocked.999999999", "users.1", "done_.1", "done_erased", "\xff"]
)
def test_the_cookie_of_a_result_may_be_anything(hand: ByHand, cookie: str) -> None:
    """A page is shown whatever another program wrote into the cookie of the last result."""
    cookies = f"{COOKIE}={hand.cookies[COOKIE]}; wxlogin-console-done={cookie}"
    answer = plain_http.fetch(f"{hand.url}/admin/", headers={b"Cookie": cookies.encode("latin-1")})

    assert answer.status_code == 200
