"""What an attacker can send to the address of pushes."""

import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import NamedTuple

import pytest

from support.devices import Device
from support.processes import APPID, SECRET, Sandbox, Service
from support.pushes import (
    AES_KEY,
    CANCEL,
    MODIFY,
    OTHER_AES_KEY,
    TOKEN,
    as_json,
    as_xml,
    event,
    revocation,
    send,
    signed,
)
from wechat_sandbox import pushes

OPENID = "oVictimOfTheAttacks000000000"

Open = Callable[..., AbstractContextManager[Service]]


class Attack(NamedTuple):
    """A request: its body and its query."""

    body: bytes
    query: Mapping[str, str]


@pytest.fixture(scope="module", params=["plain", "safe"])
def target(request: pytest.FixtureRequest, open_service: Open, sandbox: Sandbox) -> Iterator[tuple[Service, Device]]:
    """A service with the most detailed log, and a user with a phone number."""
    more = {"push_aes_key": AES_KEY} if request.param == "safe" else {}
    with open_service(push_token=TOKEN, log_level="debug", **more) as running:
        device = Device(running, sandbox.code(openid=OPENID))
        device.send("PUT", "/v1/me/phone", json={"code": sandbox.phone_code()}).raise_for_status()
        yield running, device


def sealed(message: bytes, key: str = AES_KEY, app: str = APPID) -> Attack:
    """Return an encrypted push with a correct signature."""
    return envelope(pushes.encrypt(message, key, app))


def envelope(encrypted: str, *, token: str = TOKEN, at: float | None = None, **more: object) -> Attack:
    """Return the push with this ciphertext."""
    query = signed(encrypted, token=token, name="msg_signature", at=at)
    return Attack(as_json({"ToUserName": "gh_1", "Encrypt": encrypted, **more}), query)


BOMB = (
    b'<!DOCTYPE xml [<!ENTITY a "ha">'
    + b"".join(b'<!ENTITY a%d "%s">' % (n, b"&a%s;" % (str(n - 1).encode() if n else b"") * 10) for n in range(9))
    + b"]><xml><CreateTime>1</CreateTime><Event>&a8;</Event></xml>"
)
LATE = time.time() - 3600
GOOD = as_json(revocation(OPENID))

ATTACKS = {
    "no signature": Attack(GOOD, {}),
    "forged signature": Attack(GOOD, signed(token="guess")),
    "late": Attack(GOOD, signed(at=LATE)),
    "early": Attack(GOOD, signed(at=time.time() + 3600)),
    "half XML": Attack(as_xml(revocation(OPENID))[:90], signed()),
    "half JSON": Attack(GOOD[:90], signed()),
    "billion laughs": Attack(BOMB, signed()),
    "file": Attack(b'<!DOCTYPE xml [<!ENTITY f SYSTEM "file:///etc/passwd">]><xml><Event>&f;</Event></xml>', signed()),
    "two openids": Attack(GOOD[:-1] + b',"OpenID":"o2"}', signed()),
    "two openids with a blank": Attack(GOOD[:-1] + b'," OpenID":"o2"}', signed()),
    "other app": Attack(as_json(revocation(OPENID) | {"AppID": "wxfedcba9876543210"}), signed()),
    "deep JSON": Attack(b'{"a":' * 10_000, signed()),
    "safe: forged": envelope("AAAA", token="guess"),
    "safe: late": envelope(pushes.encrypt(GOOD, AES_KEY, APPID), at=LATE),
    "safe: signed as plain": Attack(as_json({"Encrypt": pushes.encrypt(GOOD, AES_KEY, APPID)}), signed()),
    "safe: other app": sealed(GOOD, app="wxfedcba9876543210"),
    "safe: other app inside": sealed(as_json(revocation(OPENID) | {"AppID": "wxfedcba9876543210"})),
    "safe: other key": sealed(GOOD, OTHER_AES_KEY),
    "safe: no base64": envelope("%%%"),
    "safe: half a block": envelope(b64encode(b"x" * 9).decode()),
    "safe: wrong padding": envelope(b64encode(bytes(range(64))).decode()),
    "safe: half XML": sealed(as_xml(revocation(OPENID))[:90]),
    "safe: bomb": sealed(BOMB),
    "safe: two openids": sealed(GOOD[:-1] + b',"OpenID":"o2"}'),
}


KNOWN = {
    *("event", "level", "timestamp", "request_id"),
    *("appid", "push", "outcome", "user_id", "consents", "reason", "ip"),
}
"""The fields of the log's lines about pushes."""


@pytest.mark.parametrize("name", ATTACKS)
def test_every_attack_gets_the_same_answer(target: tuple[Service, Device], name: str) -> None:
    """Whatever is wrong with a push, its sender learns that it is refused, and nothing more. No user changes."""
    service, device = target
    body, query = ATTACKS[name]
    answer = send(service.http, body, query)

    assert (answer.status_code, answer.text) == (403, "refused")
    assert answer.headers["content-type"].startswith("text/plain")
    assert device.send("GET", "/v1/me").json()["phone"]


def test_the_token_alone_takes_nothing_where_encryption_is_set_up(open_service: Open, sandbox: Sandbox) -> None:
    """Who knows the Token and not the key can push nothing: plain events are refused, in the clear part as well."""
    with open_service(push_token=TOKEN, push_aes_key=AES_KEY) as service:
        device = Device(service, sandbox.code(openid=OPENID))
        message = event(CANCEL, OPENID)
        attempts = [
            Attack(as_json(message), signed()),
            Attack(as_xml(message), signed()),
            envelope(pushes.encrypt(as_json(message), OTHER_AES_KEY, APPID), **message),
            envelope(pushes.encrypt(as_json(event(MODIFY, OPENID)), AES_KEY, APPID), **message),
        ]
        answers = [send(service.http, *attempt) for attempt in attempts]
        reason = device.reason()

    assert [answer.status_code for answer in answers] == [403, 403, 403, 200]
    assert reason is None


def test_a_large_body_is_refused_at_the_edge(target: tuple[Service, Device]) -> None:
    """A body of one MiB is 413, before anything reads it."""
    service, _ = target
    answer = send(service.http, b"<xml>" + b" " * 1024 * 1024)

    assert answer.status_code == 413


def test_no_secret_and_no_openid_is_logged(target: tuple[Service, Device], sandbox: Sandbox) -> None:
    """After pushes of all kinds, the log has no Token, no key, no openid, no signature and no message."""
    service, _ = target
    attacks = [Attack(as_json(event(name, OPENID)), signed()) for name in (MODIFY, "wxa_media_check")]
    attacks += [sealed(as_json(event(name, OPENID))) for name in (MODIFY, "wxa_media_check")]
    for attack in [*ATTACKS.values(), *attacks]:
        send(service.http, *attack)
    service.http.get(f"/wechat/push/{TOKEN}?signature={AES_KEY}&echostr={OPENID}")
    service.process.event("push_refused")
    service.process.event("push")
    logged = service.process.text()
    found = [each for each in (TOKEN, AES_KEY, OTHER_AES_KEY, SECRET, OPENID) if each in logged]
    lines = [line for line in service.process.events() if str(line.get("event", "")).startswith("push")]

    assert found == []
    assert {line["event"] for line in lines} == {"push", "push_refused"}
    assert MODIFY in {line.get("push") for line in lines}
    assert {name for line in lines for name in line} <= KNOWN
