"""The access token calls, from a client's view."""

import json
import re
from collections.abc import AsyncIterator

import httpx2
import pytest

from wechat_sandbox.api import ENDPOINTS

pytestmark = pytest.mark.anyio

APPID = "wx0123456789abcdef"
SECRET = "0123456789abcdef0123456789abcdef"
ORDER = {"grant_type": "client_credential", "appid": APPID, "secret": SECRET}
STABLE, LEGACY = "/cgi-bin/stable_token", "/cgi-bin/token"
AUTHORIZED = [path for path, endpoint in ENDPOINTS.items() if endpoint.authorized]
RID = r" rid: [0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}"


async def test_a_token_of_either_kind_has_a_lifetime(client: httpx2.AsyncClient) -> None:
    """A token has fewer than 512 characters and a lifetime of 7200 seconds, and the answer has no errcode."""
    stable = (await client.post(STABLE, json=ORDER)).json()
    legacy = (await client.get(LEGACY, params=ORDER)).json()

    for answer in (stable, legacy):
        assert answer.keys() == {"access_token", "expires_in"}
        assert answer["expires_in"] == 7200
        assert re.fullmatch(r"\d+_[\w-]{100,500}", answer["access_token"], re.ASCII)


async def test_force_refresh_gives_another_token(client: httpx2.AsyncClient) -> None:
    """Only with force_refresh the second token is different."""
    answers = [await client.post(STABLE, json=ORDER | {"force_refresh": force}) for force in (False, False, True)]

    first, second, third = (answer.json()["access_token"] for answer in answers)

    assert first == second != third


@pytest.mark.parametrize(
    ("body", "errcode"),
    [
        ("", 44002),
        ("{", 47001),
        ("[]", 47001),
        ("grant_type=client_credential", 47001),
        (b"\xff", 47001),
        ('{"appid":' + "[" * 100_000, 47001),
        ('{"appid":1}', 47001),
        ("{}", 41002),
        ('{"appid":"wx1","secret":"s","grant_type":"client_credential","force_refresh":"true"}', 47001),
    ],
)
async def test_the_body_must_be_json_with_the_correct_types(
    client: httpx2.AsyncClient, body: str, errcode: int
) -> None:
    """A missing body is 44002, and a body that is not a JSON object or has wrong types is 47001."""
    assert (await client.post(STABLE, content=body)).json()["errcode"] == errcode


async def test_each_kind_has_its_method(client: httpx2.AsyncClient) -> None:
    """A GET of stable_token is 43002. /cgi-bin/token accepts a form, and does not read a JSON body."""
    stable, legacy = await client.get(STABLE, params=ORDER), await client.post(LEGACY, json=ORDER)

    assert stable.json()["errcode"] == 43002
    assert re.fullmatch(f"require POST method{RID}", stable.json()["errmsg"])
    assert stable.headers["content-type"] == "application/json; encoding=utf-8"
    assert legacy.json()["errcode"] == 41002
    assert (await client.post(LEGACY, data=ORDER)).json()["expires_in"] == 7200


async def test_a_body_in_chunks_is_refused(client: httpx2.AsyncClient) -> None:
    """A POST without Content-Length is 412 without a body, and has no effect."""

    async def chunks() -> AsyncIterator[bytes]:
        yield json.dumps(ORDER).encode()

    answer = await client.post(STABLE, content=chunks())

    assert (answer.status_code, answer.content) == (412, b"")
    assert (await client.get("/sandbox/calls")).json()["calls"][-1]["status"] == 412


async def test_a_body_that_is_not_json_has_a_hint(client: httpx2.AsyncClient) -> None:
    """The text for a malformed body has a hint id, which WeChat's support uses."""
    answer = await client.post(STABLE, content="{")

    assert re.fullmatch(rf"data format error hint: \[[\w-]{{16}}\]{RID}", answer.json()["errmsg"])


@pytest.mark.parametrize("path", AUTHORIZED)
@pytest.mark.parametrize(
    ("query", "errcode", "text"),
    [
        ({}, 41001, "access_token missing"),
        ({"access_token": "made-up"}, 40001, "invalid credential, access_token is invalid or not latest, could get .*"),
        ({"access_token": "no token"}, 40014, "invalid access_token"),
    ],
)
async def test_a_call_without_a_valid_token_is_refused(
    client: httpx2.AsyncClient, path: str, query: dict[str, str], errcode: int, text: str
) -> None:
    """For any call and method the token is checked first, and a wrong one is refused with HTTP 200."""
    answer = await client.get(path, params=query)

    assert answer.status_code == 200
    assert answer.json().keys() == {"errcode", "errmsg"}
    assert answer.json()["errcode"] == errcode
    assert re.fullmatch(text + RID, answer.json()["errmsg"])


@pytest.mark.parametrize("path", AUTHORIZED)
async def test_a_call_with_an_expired_token_is_refused(client: httpx2.AsyncClient, path: str) -> None:
    """A token is 42001 after two hours."""
    token = (await client.post(STABLE, json=ORDER)).json()["access_token"]
    await client.post("/sandbox/clock", json={"advance_seconds": 7200})

    assert (await client.get(path, params={"access_token": token})).json()["errcode"] == 42001


@pytest.mark.parametrize("path", AUTHORIZED)
async def test_the_method_is_checked_after_the_token(client: httpx2.AsyncClient, path: str) -> None:
    """With a valid token, a call with a wrong method is refused with an errcode for the method."""
    token = (await client.post(STABLE, json=ORDER)).json()["access_token"]

    answer = await client.put(path, params={"access_token": token}, content="{}")

    assert answer.json()["errcode"] in {43001, 43002}
