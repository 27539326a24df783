"""WeChat's message push, from the sandbox to the service."""

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlencode

import pytest

from support.devices import Device
from support.processes import APPID, Sandbox, Service
from support.pushes import (
    AES_KEY,
    CANCEL,
    MODIFY,
    PHONE,
    REVOKE,
    TOKEN,
    as_json,
    as_xml,
    event,
    revocation,
    send,
    signed,
)
from support.servers import wait_until

Open = Callable[..., AbstractContextManager[Service]]


@pytest.fixture(scope="module")
def plain(open_service: Open) -> Iterator[Service]:
    """A service of an app whose pushes are not encrypted."""
    with open_service(push_token=TOKEN) as running:
        yield running


@pytest.fixture(scope="module")
def safe(open_service: Open) -> Iterator[Service]:
    """A service of an app whose pushes are encrypted."""
    with open_service(push_token=TOKEN, push_aes_key=AES_KEY) as running:
        yield running


@pytest.fixture(params=["plain", "compatible", "safe"])
def mode(request: pytest.FixtureRequest) -> str:
    """The mode of pushes in the WeChat console."""
    return str(request.param)


@pytest.fixture
def service_of_mode(mode: str, request: pytest.FixtureRequest) -> Service:
    """A service that is set up for the mode."""
    running: Service = request.getfixturevalue("plain" if mode == "plain" else "safe")
    return running


class Receiver:
    """A backend that pushes are forwarded to. It answers with `statuses` in their order, and then with 200."""

    def __init__(self) -> None:
        self.received: list[tuple[str, str | None, bytes]] = []
        self.statuses: list[int] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.received.append((self.path, self.headers["content-type"], body))
                self.send_response(receiver.statuses.pop(0) if receiver.statuses else 200)
                self.send_header("content-length", "0")
                self.send_header("location", "/elsewhere")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Print nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A running receiver."""
    running = Receiver()
    thread = threading.Thread(target=running.server.serve_forever)
    thread.start()
    yield running
    running.server.shutdown()
    running.server.server_close()
    thread.join()


def order(service: Service, mode: str = "plain", **more: object) -> dict[str, Any]:
    """Return what the sandbox is asked to push."""
    return {"url": f"{service.url}/wechat/push/{APPID}", "token": TOKEN, "aes_key": AES_KEY, "mode": mode, **more}


def with_phone(service: Service, sandbox: Sandbox, openid: str) -> Device:
    """Log the user in, and bind a phone number, a name and an avatar."""
    device = Device(service, sandbox.code(openid=openid))
    bind(device, sandbox)
    profile = {"name": "Ann", "avatar": "https://a.example/1", "city": "Bern"}
    device.send("PATCH", "/v1/me", json=profile).raise_for_status()
    return device


def bind(device: Device, sandbox: Sandbox) -> None:
    """Bind a phone number."""
    device.send("PUT", "/v1/me/phone", json={"code": sandbox.phone_code()}).raise_for_status()


def me(device: Device) -> dict[str, Any]:
    """Return the profile."""
    profile: dict[str, Any] = device.send("GET", "/v1/me").raise_for_status().json()
    return profile


@pytest.fixture
def ann(service_of_mode: Service, sandbox: Sandbox, user: str) -> Device:
    """A user of the mode's service, who gave a phone number, a name and an avatar."""
    return with_phone(service_of_mode, sandbox, user)


@pytest.fixture
def bob(plain: Service, sandbox: Sandbox, user: str) -> Device:
    """A user of the service without encryption."""
    return with_phone(plain, sandbox, user)


def lines(service: Service, device: Device) -> list[dict[str, Any]]:
    """Return the log's lines about pushes that concern the user."""
    pushed = [line for line in service.process.events() if line.get("event") == "push"]
    return [line for line in pushed if line.get("user_id") == device.login["user"]["id"]]


def outcomes(service: Service, device: Device) -> list[str]:
    """Return what became of the pushes about the user."""
    return [line["outcome"] for line in lines(service, device)]


def recorded(device: Device) -> list[tuple[str, str]]:
    """Return the actors and reasons of the revocations in the audit trail of the user."""
    events = device.send("GET", "/v1/me/export").raise_for_status().json()["events"]
    return [(each["actor"], each["reason"]) for each in events if each["type"] == "user.consent_revoked"]


@pytest.mark.parametrize("form", ["xml", "json"])
def test_a_revoked_phone_number_is_forgotten(
    service_of_mode: Service, sandbox: Sandbox, ann: Device, user: str, mode: str, form: str
) -> None:
    """When the user revokes the phone number, it is gone, and name, avatar and session stay."""
    pushed = sandbox.push(APPID, REVOKE, user, **order(service_of_mode, mode, format=form, revoke_info=PHONE))
    profile = me(ann)

    assert (pushed["accepted"], pushed["status"], pushed["body"]) == (True, 200, "success")
    assert (profile["phone"], profile["name"], profile["avatar"]) == (None, "Ann", "https://a.example/1")
    assert recorded(ann) == [("wechat", str(PHONE))]
    assert lines(service_of_mode, ann)[-1]["consents"] == [PHONE]


@pytest.mark.parametrize("number", [6, 19, 20])
def test_a_revoked_name_and_avatar_are_forgotten(
    plain: Service, sandbox: Sandbox, bob: Device, user: str, number: int
) -> None:
    """When the user revokes name and avatar, both are gone, and the rest stays."""
    sandbox.push(APPID, REVOKE, user, **order(plain, revoke_info=number))
    profile = me(bob)

    assert (profile["name"], profile["avatar"], profile["city"]) == ("", "", "Bern")
    assert profile["phone"]


@pytest.mark.parametrize(("name", "more"), [(REVOKE, {"revoke_info": "16"}), (MODIFY, {})])
def test_what_covers_nothing_stored_is_recorded(
    plain: Service, sandbox: Sandbox, bob: Device, user: str, name: str, more: dict[str, str]
) -> None:
    """Other consents, and changes at WeChat, change no user. They are logged."""
    before = me(bob)
    pushed = sandbox.push(APPID, name, user, **order(plain, **more))

    assert pushed["accepted"]
    assert me(bob) == before
    assert outcomes(plain, bob) == ["recorded"]
    assert recorded(bob) == ([("wechat", more["revoke_info"])] if more else [])


def test_a_cancelled_account_is_erased(
    service_of_mode: Service, sandbox: Sandbox, ann: Device, user: str, mode: str
) -> None:
    """When the user cancels the account at WeChat, the user is erased. The next login is a new user."""
    pushed = sandbox.push(APPID, CANCEL, user, **order(service_of_mode, mode))
    again = Device(service_of_mode, sandbox.code(openid=user))

    assert pushed["accepted"]
    assert ann.reason()
    assert again.login["user"]["is_new"]
    assert me(again)["phone"] is None


def test_a_repeat_takes_nothing_that_was_given_again(plain: Service, sandbox: Sandbox, bob: Device, user: str) -> None:
    """A repeat of a revocation is answered with success, and does not take the number that the user gave since."""
    body = as_xml(revocation(user))
    first = send(plain.http, body)
    taken = me(bob)["phone"]
    bind(bob, sandbox)
    repeats = [send(plain.http, body) for _ in range(3)]

    assert (first.text, taken) == ("success", None)
    assert {(each.status_code, each.text) for each in repeats} == {(200, "success")}
    assert me(bob)["phone"]


def test_another_process_knows_a_repeat(open_service: Open, sandbox: Sandbox, user: str, tmp_path: Any) -> None:
    """Without Redis, a process that did not see the revocation knows its repeat by the database."""
    database = f"sqlite+aiosqlite:///{tmp_path / 'wxlogin.db'}"
    body = as_json(revocation(user))
    with (
        open_service(push_token=TOKEN, database_url=database) as one,
        open_service(push_token=TOKEN, database_url=database) as other,
    ):
        device = with_phone(one, sandbox, user)
        send(one.http, body)
        bind(device, sandbox)
        repeat = send(other.http, body)
        phone = me(device)["phone"]

    assert (repeat.status_code, repeat.text) == (200, "success")
    assert phone


def test_a_push_from_before_the_user_came_back_erases_no_user(plain: Service, sandbox: Sandbox, user: str) -> None:
    """A cancellation that is older than the account is of an earlier user, and changes nothing."""
    device = with_phone(plain, sandbox, user)
    pushed = sandbox.push(APPID, CANCEL, user, **order(plain, create_time=int(time.time()) - 3600))

    assert pushed["accepted"]
    assert me(device)["phone"]
    assert outcomes(plain, device) == ["outdated"]


@pytest.mark.parametrize("name", [REVOKE, CANCEL, MODIFY, "wxa_media_check"])
def test_an_unknown_user_is_success(plain: Service, sandbox: Sandbox, user: str, name: str) -> None:
    """An event about a user who never logged in, or of another kind, is answered with success."""
    pushed = sandbox.push(APPID, name, user, **order(plain, revoke_info=PHONE))

    assert (pushed["accepted"], pushed["body"]) == (True, "success")


def test_the_address_is_checked(service_of_mode: Service, sandbox: Sandbox) -> None:
    """The WeChat console accepts the address, and refuses it with another Token."""
    url = f"{service_of_mode.url}/wechat/push/{APPID}"
    passed = sandbox.check_push_url(url, TOKEN)
    failed = sandbox.check_push_url(url, "anotherToken")

    assert passed["accepted"]
    assert (failed["accepted"], failed["status"], failed["body"]) == (False, 403, "refused")


@pytest.mark.parametrize("appid", ["wxfedcba9876543210", "wx-unknown", "%20", "a" * 65])
def test_an_app_without_push_has_no_address(plain: Service, appid: str) -> None:
    """The path of an app that is unknown or has no Token is 404."""
    answer = send(plain.http, as_json(event(MODIFY, "o")), appid=appid)

    assert answer.status_code == 404
    assert answer.json()["code"] == "not_found"


def test_other_events_are_forwarded_as_they_came(open_service: Open, sandbox: Sandbox, receiver: Receiver) -> None:
    """An event that does not concern users reaches the other backend once, with its query, body and content type."""
    body = b'{"ToUserName":"gh_1","CreateTime":1714037059,"MsgType":"event","Event":"wxa_media_check","errcode": 0}'
    with open_service(push_token=TOKEN, push_forward_url=f"{receiver.url}?from=wxlogin") as running:
        query = signed()
        answers = [send(running.http, body, query) for _ in range(2)]

    assert {(answer.status_code, answer.text) for answer in answers} == {(200, "success")}
    assert receiver.received == [(f"/?from=wxlogin&{urlencode(query)}", "application/json", body)]


@pytest.mark.parametrize("status", [302, 404, 500])
def test_what_was_not_forwarded_is_repeated(
    open_service: Open, sandbox: Sandbox, receiver: Receiver, status: int
) -> None:
    """While the other backend refuses an event, WeChat does not get success. Its repeat is forwarded."""
    body = as_json(event("wxa_media_check", "o", trace_id="t"))
    receiver.statuses += [status]
    with open_service(push_token=TOKEN, push_forward_url=receiver.url) as running:
        refused, repeated = (send(running.http, body) for _ in range(2))
        logged = running.process.event("push_not_forwarded")

    assert (refused.status_code, refused.text) == (502, "not forwarded")
    assert (repeated.status_code, repeated.text) == (200, "success")
    assert len(receiver.received) == 2
    assert receiver.url not in json.dumps(logged)


@pytest.mark.parametrize("with_redis", [False, True])
def test_no_push_is_lost_while_the_database_is_away(
    open_service: Open, sandbox: Sandbox, user: str, tmp_path: Any, redis_url: str, with_redis: bool
) -> None:
    """A revocation that the database cannot store is applied when it is back. Only Redis makes it a success before."""
    path = tmp_path / "wxlogin.db"
    more = {"redis_url": redis_url} if with_redis else {}
    with open_service(push_token=TOKEN, database_url=f"sqlite+aiosqlite:///{path}", **more) as running:
        device = with_phone(running, sandbox, user)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            answer = send(running.http, as_json(revocation(user)))
            kept = me(device)["phone"]
        wait_until(lambda: me(device)["phone"] is None, "the revocation")

    assert answer.status_code == (200 if with_redis else 503)
    assert kept
