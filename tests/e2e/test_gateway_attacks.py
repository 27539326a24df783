"""Attacks through each gateway: no user gets another user's answer, and no client forges an address."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from time import sleep
from typing import Any

import pytest

from support import gateways, plain_http, processes
from support.processes import Sandbox, Service
from support.raw_http import connect, exchange, parse, request

PROXY, CLIENT, FORGED = "127.0.0.1", "127.0.0.2", "203.0.113.66"
ROUNDS = 6


class Front:
    """A gateway before a service that trusts it."""

    def __init__(self, url: str, service: Service) -> None:
        self.url = url
        self.service = service


@pytest.fixture(scope="module")
def wechat() -> Iterator[Sandbox]:
    """A WeChat of this module, so that its slow answers do not affect other tests."""
    with processes.sandbox() as running:
        yield running


@pytest.fixture(scope="module")
def believing(open_service: Any, wechat: Sandbox) -> Iterator[Service]:
    """A service that trusts the gateways."""
    with open_service(trusted_proxies=PROXY, wechat_url=wechat.url) as running:
        yield running


@pytest.fixture(scope="module", params=gateways.FOUND)
def front(
    request: pytest.FixtureRequest, believing: Service, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Front]:
    """Each gateway of this machine, before a service and a backend."""
    port = int(believing.url.rpartition(":")[2])
    with (
        gateways.backend() as backend,
        gateways.gateway(request.param, tmp_path_factory.mktemp(request.param), port, backend.port) as url,
    ):
        yield Front(url, believing)


@pytest.mark.parametrize("path", ["/v1/wechat/session-key", "/v1/sessions", "/orders"])
def test_no_user_gets_the_answer_of_another(front: Front, wechat: Sandbox, path: str) -> None:
    """When an attacker hides a request in a body after an upgrade, users who log in still get their own tokens."""
    attacker = front.service.log_in(wechat.code())
    hidden = request("/v1/wechat/session-key", f"Authorization: Bearer {attacker['token']}")
    head = request(
        path,
        f"Authorization: Bearer {attacker['token']}",
        "Upgrade: foo",
        "Connection: Upgrade",
        f"Content-Length: {len(hidden)}",
        method="GET" if path == "/v1/wechat/session-key" else "POST",
    )

    def attack() -> bytes:
        with connect(front.url) as raw:
            raw.send(head)
            sleep(0.1)
            raw.send(hidden)
            first = raw.receive()
            sleep(0.1)
            raw.send(request("/v1/me", f"Authorization: Bearer {attacker['token']}", "Connection: close"))
            return first + raw.rest()

    def log_in(number: int) -> tuple[str, str]:
        openid = f"o-victim-{number}"
        code = wechat.code(openid=openid)
        answer = plain_http.fetch(f"{front.url}/v1/sessions", "POST", json={"code": code})
        assert answer.status_code == 201, answer.text
        me = front.service.http.get("/v1/me", headers={"Authorization": f"Bearer {answer.json()['token']}"}).json()
        return openid, me["accounts"][0]["openid"]

    for attempt in range(ROUNDS):
        wechat.fail(path="/wxa/checksession", delay_seconds=0.2, times=2)
        with ThreadPoolExecutor(1) as clients:
            attacking = clients.submit(attack)
            victims: list[tuple[str, str]] = []
            while not attacking.done() or len(victims) < 5:
                victims.append(log_in(attempt * 100 + len(victims)))
            stolen = attacking.result()

        assert {expected == got for expected, got in victims} == {True}
        assert b'"token"' not in stolen
        assert b"o-victim-" not in stolen


@pytest.mark.parametrize("name", ["X-Forwarded-For", "Authorization"])
def test_trailers_are_ignored_through_a_gateway(front: Front, wechat: Sandbox, name: str) -> None:
    """The trailers of a chunked login through a gateway set no client address and do not authenticate."""
    user = front.service.log_in(wechat.code())
    value = {"X-Forwarded-For": FORGED, "Authorization": f"Bearer {user['token']}"}[name]
    body = f'{{"code":"{wechat.code()}"}}'.encode()
    chunked = request("/v1/sessions", "Transfer-Encoding: chunked", f"Trailer: {name}", method="POST")
    chunks = f"{len(body):x}\r\n".encode() + body + f"\r\n0\r\n{name}: {value}\r\n\r\n".encode()
    answers = exchange(front.url, chunked.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), chunks)
    found = parse(answers)

    assert FORGED.encode() not in answers
    assert [answer.status for answer in found] in ([201], [400], [411], [501])
    assert front.service.auth(user["token"]).status_code == 204


def test_a_login_with_an_upgrade_succeeds_through_a_gateway(front: Front, wechat: Sandbox) -> None:
    """A login with an offer of h2c, as Java's HttpClient sends it, succeeds through each gateway."""
    body = f'{{"code":"{wechat.code()}"}}'.encode()
    offer = ["Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABkAAQAAP__"]
    with connect(front.url) as raw:
        raw.send(request("/login/", *offer, f"Content-Length: {len(body)}", method="POST"))
        sleep(0.1)
        raw.send(body)

        assert b'"status":0' in raw.receive()
