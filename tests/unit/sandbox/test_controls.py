"""The controls of the sandbox, from a client's view."""

import re
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import httpx2
import pytest

pytestmark = pytest.mark.anyio

APPID = "wx0123456789abcdef"
SECRET = "0123456789abcdef0123456789abcdef"
PATH = "/sns/jscode2session"
JSON = {"Content-Type": "application/json"}


async def login(client: httpx2.AsyncClient, code: str | None = None) -> httpx2.Response:
    """Exchange a code, by default a new one."""
    if code is None:
        code = (await client.post("/sandbox/codes", json={"appid": APPID})).json()["code"]
    query = {"appid": APPID, "secret": SECRET, "js_code": code, "grant_type": "authorization_code"}
    return await client.get(PATH, params=query)


async def fault(client: httpx2.AsyncClient, **fields: object) -> httpx2.Response:
    """Make the next login fail."""
    answer = await client.post("/sandbox/faults", json={"path": PATH, **fields})
    assert answer.status_code == 201, answer.text
    return answer


async def test_a_new_code_has_its_openid(client: httpx2.AsyncClient) -> None:
    """A new code is 201, and the answer has its openid."""
    answer = await client.post("/sandbox/codes", json={"appid": APPID})

    assert answer.status_code == 201
    assert answer.json().keys() == {"code", "openid"}
    assert len(answer.json()["code"]) == 32
    assert len(answer.json()["openid"]) == 28


async def test_a_code_can_have_a_given_openid(client: httpx2.AsyncClient) -> None:
    """A code can have a given openid."""
    answer = await client.post("/sandbox/codes", json={"appid": APPID, "openid": "o-alice"})

    assert answer.json()["openid"] == "o-alice"


async def test_an_errcode_fault_does_not_use_the_code(client: httpx2.AsyncClient) -> None:
    """The next call gets WeChat's error with its text, and the code still works afterwards."""
    code = (await client.post("/sandbox/codes", json={"appid": APPID})).json()["code"]
    await fault(client, errcode=45011)

    failed, passed = await login(client, code), await login(client, code)

    assert failed.status_code == 200
    assert failed.json()["errcode"] == 45011
    assert re.match(r"api minute-quota reach limit, must slower, retry next minute, rid: ", failed.json()["errmsg"])
    assert "openid" in passed.json()


@pytest.mark.parametrize(
    ("fields", "status", "body"),
    [
        ({"status": 503}, 503, ""),
        ({"status": 502, "body": "<html>Bad Gateway</html>"}, 502, "<html>Bad Gateway</html>"),
        ({"body": "not { JSON"}, 200, "not { JSON"),
        ({"body": {"openid": None, "名": [1]}}, 200, '{"openid":null,"名":[1]}'),
        ({"body": None}, 200, "null"),
        ({"body": ""}, 200, ""),
    ],
)
async def test_a_fault_can_have_any_answer(
    client: httpx2.AsyncClient, fields: dict[str, object], status: int, body: str
) -> None:
    """The next call gets the status and the body of the fault: text unchanged, and other values as JSON."""
    await fault(client, **fields)

    answer = await login(client)

    assert answer.status_code == status
    assert answer.text == body


async def test_an_errcode_can_have_another_status(client: httpx2.AsyncClient) -> None:
    """A WeChat error can have another status than 200."""
    await fault(client, errcode=-1, status=500)

    answer = await login(client)

    assert answer.status_code == 500
    assert answer.json() == {"errcode": -1, "errmsg": "system error"}


async def test_a_delay_only_delays_the_answer(client: httpx2.AsyncClient) -> None:
    """A delayed call gets its usual answer after the delay."""
    await fault(client, delay_seconds=0.1)

    started = time.monotonic()
    answer = await login(client)

    assert time.monotonic() - started >= 0.1
    assert "openid" in answer.json()


async def test_a_delay_can_be_combined_with_a_fault(client: httpx2.AsyncClient) -> None:
    """A delayed fault occurs after the delay."""
    await fault(client, delay_seconds=0.1, errcode=-1)

    started = time.monotonic()
    answer = await login(client)

    assert time.monotonic() - started >= 0.1
    assert answer.json()["errcode"] == -1


async def test_faults_occur_in_order(client: httpx2.AsyncClient) -> None:
    """Faults occur in their order, each the given number of times. After them calls succeed."""
    await fault(client, errcode=-1, times=2)
    await fault(client, status=502)

    answers = [await login(client) for _ in range(4)]

    assert [answer.status_code for answer in answers] == [200, 200, 502, 200]
    assert [answer.json().get("errcode") for answer in answers if answer.text] == [-1, -1, None]


async def test_a_fault_can_answer_an_unknown_path(client: httpx2.AsyncClient) -> None:
    """A fault can give an answer to a path that the sandbox does not have."""
    path = "/cgi-bin/user/info"
    await client.post("/sandbox/faults", json={"path": path, "body": {"access_token": "76_"}})

    assert (await client.get(path)).json() == {"access_token": "76_"}
    assert (await client.get(path)).json()["errcode"] == 40066


async def test_a_dropped_call_raises_connection_reset_without_a_server(client: httpx2.AsyncClient) -> None:
    """Without a server, a dropped call raises ConnectionResetError in the client."""
    await fault(client, drop=True)

    with pytest.raises(ConnectionResetError):
        await login(client)


async def test_a_fault_is_shown_with_its_defaults(client: httpx2.AsyncClient) -> None:
    """The answer to a fault has its default values."""
    assert (await fault(client, errcode=-1)).json() == {
        "path": PATH,
        "errcode": -1,
        "status": None,
        "delay_seconds": 0,
        "drop": False,
        "executed": False,
        "times": 1,
    }


async def test_calls_are_listed_with_masked_secrets(client: httpx2.AsyncClient) -> None:
    """Every call to WeChat is listed with its outcome, newest last, and with masked secrets."""
    code = (await client.post("/sandbox/codes", json={"appid": APPID})).json()["code"]
    for _ in range(2):
        await login(client, code)

    answer = await client.get("/sandbox/calls")
    first, second = answer.json()["calls"]

    assert answer.status_code == 200
    assert SECRET not in answer.text
    assert code not in answer.text
    assert first.items() >= {"method": "GET", "path": PATH, "status": 200}.items()
    assert first["query"]["appid"] == APPID
    assert "errcode" not in first
    assert second["errcode"] == 40163
    assert first["at"] <= second["at"]


@pytest.mark.parametrize("fields", [{"errcode": -1}, {"status": 502}, {"body": "late"}, {"drop": True}])
async def test_a_call_may_be_executed_before_it_fails(client: httpx2.AsyncClient, fields: dict[str, object]) -> None:
    """With `executed` the code is used, and only the answer is lost or replaced."""
    code = (await client.post("/sandbox/codes", json={"appid": APPID})).json()["code"]
    await fault(client, executed=True, **fields)

    with suppress(ConnectionResetError):
        assert "openid" not in (await login(client, code)).text

    assert (await login(client, code)).json()["errcode"] == 40163


async def test_any_call_can_fail(client: httpx2.AsyncClient) -> None:
    """A fault also applies to a POST, and before its token is checked."""
    path = "/wxa/business/getuserphonenumber"
    await client.post("/sandbox/faults", json={"path": path, "errcode": 40029})

    answer = await client.post(path, json={"code": "any"})

    assert answer.json()["errmsg"].startswith("invalid code hint: [")
    assert (await client.post(path, json={"code": "any"})).json()["errcode"] == 41001


async def test_bodies_are_listed(client: httpx2.AsyncClient) -> None:
    """The body of a POST is listed with masked secrets."""
    await client.post("/cgi-bin/stable_token", json={"appid": APPID, "secret": SECRET})

    (call,) = (await client.get("/sandbox/calls")).json()["calls"]

    assert call["method"] == "POST"
    assert call["body"] == {"appid": APPID, "secret": "0123***"}


@pytest.mark.parametrize("path", [PATH, "/cgi-bin/stable_token", "/sandbox/codes"])
async def test_a_large_body_is_refused(client: httpx2.AsyncClient, path: str) -> None:
    """A body of more than one MiB is a problem with 413, for WeChat's calls and for the controls."""
    answer = await client.post(path, content=b"x" * (1024 * 1024 + 1), headers=JSON)

    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_dropped_call_has_no_status(client: httpx2.AsyncClient) -> None:
    """A call without an answer is listed with a null status."""
    await fault(client, drop=True)
    with pytest.raises(ConnectionResetError):
        await login(client)

    assert (await client.get("/sandbox/calls")).json()["calls"][-1]["status"] is None


async def test_the_clock_can_be_advanced(client: httpx2.AsyncClient) -> None:
    """An advance answers 200 with the new time in UTC."""
    answer = await client.post("/sandbox/clock", json={"advance_seconds": 86400})

    now = datetime.fromisoformat(answer.json()["now"])

    assert answer.status_code == 200
    assert answer.json()["now"].endswith("Z")
    assert abs(now - datetime.now(UTC) - timedelta(days=1)) < timedelta(seconds=10)


@pytest.mark.parametrize(
    ("path", "body", "reason"),
    [
        ("/sandbox/codes", "", "the body is empty"),
        ("/sandbox/codes", "{", "truncated"),
        ("/sandbox/codes", "{}", "appid"),
        ("/sandbox/codes", "[]", "array"),
        ("/sandbox/codes", '{"appid":1}', "appid: Expected `str`"),
        ("/sandbox/codes", '{"appid":""}', "appid: Expected `str` of length >= 1"),
        ("/sandbox/codes", '{"appid":"wx1","open_id":"o"}', "open_id"),
        ("/sandbox/faults", '{"path":"/x"}', "needs errcode"),
        ("/sandbox/faults", '{"path":"/x","times":0,"drop":true}', "times"),
        ("/sandbox/faults", '{"path":"/x","status":99}', "status"),
        ("/sandbox/faults", '{"path":"/x","delay_seconds":-1}', "delay_seconds"),
        ("/sandbox/faults", '{"path":"/x","delay":1}', "delay"),
        ("/sandbox/phone-codes", '{"appid":"wx1","phone":"13"}', "phone is '13'"),
        ("/sandbox/encrypt", '{"appid":"wx1","openid":"o"}', "data"),
        ("/sandbox/encrypt", '{"appid":"wx1","openid":"o","data":[]}', "Expected `object`, got `array`"),
        ("/sandbox/payments", '{"appid":"wx1"}', "openid"),
        ("/sandbox/user-keys", '{"appid":"wx1"}', "openid"),
        ("/sandbox/signing", '{"appid":"wx1"}', "public_key"),
        ("/sandbox/clock", '{"advance_seconds":-1}', "advance_seconds is -1"),
        ("/sandbox/clock", '{"advance_seconds":1e300}', "advance_seconds is 1e+300"),
        ("/sandbox/clock", '{"advance_seconds":1e400}', "out of range"),
        ("/sandbox/clock", '{"advance_seconds":[]}', "advance_seconds: Expected `float`"),
    ],
)
async def test_wrong_input_of_a_control_is_explained(
    client: httpx2.AsyncClient, path: str, body: str, reason: str
) -> None:
    """A control with wrong input is a problem with 400, whose detail explains the error."""
    answer = await client.post(path, content=body, headers=JSON)

    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json().items() >= {"type": "about:blank", "title": "Bad Request", "status": 400}.items()
    assert reason in answer.json()["detail"]


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/sandbox/nothing", 404), ("DELETE", "/sandbox/codes", 405)]
)
async def test_an_unknown_control_of_the_sandbox_is_a_problem(
    client: httpx2.AsyncClient, method: str, path: str, status: int
) -> None:
    """An unknown control or a wrong method is a problem, and is not listed as a call to WeChat."""
    answer = await client.request(method, path)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert (await client.get("/sandbox/calls")).json() == {"total": 0, "calls": []}
