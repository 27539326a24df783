"""The console beside a service, as operators use both."""

import json
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import httpx2
from playwright.sync_api import Page, expect

from support import plain_http
from support.admin import KEYS, AdminApi, admin_api
from support.processes import APPID, SECRET, Environment, Sandbox, Service, environment, service
from support.servers import wait_until

OTHER_APPID = "wxfedcba9876543210"

PHONE_AGENT = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
    " Mobile/15E148 MicroMessenger/8.0.49(0x18003137)"
)


class Person(NamedTuple):
    """A user of the service: id, openid, and the token of the last login."""

    id: str
    openid: str
    token: str


class Installation(NamedTuple):
    """A service and its console on the same stores, and a sandbox of WeChat."""

    service: Service
    admin: AdminApi
    sandbox: Sandbox
    env: Environment

    @property
    def url(self) -> str:
        """Return the address of the console."""
        return f"{self.admin.url}/admin/"

    def person(
        self, openid: str = "", appid: str = APPID, phone: str = "", unionid: str = "", **profile: str
    ) -> Person:
        """Log in, with this phone number and profile, and return the user."""
        openid = openid or f"o{secrets.token_hex(13)}"
        known = {"openid": openid} | ({"unionid": unionid} if unionid else {})
        body = {"code": self.sandbox.code(appid, **known), "appid": appid}
        answer = self.service.http.post("/v1/sessions", json=body, headers={"User-Agent": PHONE_AGENT})
        assert answer.status_code == 201, answer.text
        person = Person(answer.json()["user"]["id"], openid, answer.json()["token"])
        bearer = {"Authorization": f"Bearer {person.token}"}
        if profile:
            assert self.service.http.patch("/v1/me", json=profile, headers=bearer).status_code == 200
        if phone:
            code = self.sandbox.phone_code(phone=phone, openid=openid)
            assert self.service.http.put("/v1/me/phone", json={"code": code}, headers=bearer).status_code == 200
        return person

    def conflict(self, first: str = "Li Lei", second: str = "李雷") -> tuple[Person, Person]:
        """Return two users with these names who share a unionid."""
        unionid = f"u{secrets.token_hex(8)}"
        other = self.person(unionid=unionid, name=second)
        one = self.person(appid=OTHER_APPID, name=first)
        self.person(one.openid, OTHER_APPID, unionid=unionid)
        return one, other

    def fail(self) -> None:
        """Let logins fail for three reasons, and wait until they are reported."""
        used = self.sandbox.code()
        for code in (used, used, "unknown-code"):
            self.service.http.post("/v1/sessions", json={"code": code, "appid": APPID})
        self.service.http.post("/v1/sessions", json={"code": "x", "appid": "wx-unknown"})
        wait_until(lambda: len(self.admin.get("/errors")["failures"]) >= 3, "a report")


@contextmanager
def installation(sandbox: Sandbox, database_url: str, **settings: str) -> Iterator[Installation]:
    """Run a service of two apps, and its console, until the block ends. Starts of sessions are in the trail."""
    given = {"apps": json.dumps([{"appid": OTHER_APPID, "secret": SECRET}]), "audit_sessions": "true", **settings}
    env = environment(wechat_url=sandbox.url, database_url=database_url, **given)
    with service(env=env) as running, admin_api(env) as admin:
        yield Installation(running, admin, sandbox, env)


def sign_in(page: Page, name: str = "ann") -> None:
    """Sign in with the key of this owner."""
    page.fill("#key", KEYS[name][0])
    page.press("#key", "Enter")
    expect(page.locator("header .who")).to_contain_text(name)


CSRF = re.compile(r'name="csrf" value="([\w-]{43})"')


class ByHand:
    """A client of the console that is no browser: it sends what it is ordered to, each time on a new connection."""

    def __init__(self, url: str, **headers: str) -> None:
        self.url = url
        self.headers = headers
        self.cookies = httpx2.Cookies()
        self.csrf = ""

    def send(self, method: str, path: str, **request: Any) -> httpx2.Response:
        """Send a request with the cookies so far, and keep those of the answer."""
        with plain_http.client(base_url=self.url, headers=self.headers, cookies=self.cookies) as http:
            answer = http.request(method, path, **request)
            self.cookies = http.cookies
            return answer

    def sign_in(self, name: str = "ann", **form: str) -> httpx2.Response:
        """Sign in, and remember the token of the forms."""
        answer = self.send("POST", "/admin/sign-in", data={"key": KEYS[name][0], **form})
        if answer.status_code == 303:
            found = CSRF.search(self.get("/admin/").text)
            self.csrf = found[1] if found else ""
        return answer

    def get(self, path: str) -> httpx2.Response:
        """Send a GET."""
        return self.send("GET", path)

    def post(self, path: str, headers: dict[str, str] | None = None, **form: Any) -> httpx2.Response:
        """Send a form with the token of the session."""
        return self.send("POST", path, data={"csrf": self.csrf, **form}, headers=headers or {})
