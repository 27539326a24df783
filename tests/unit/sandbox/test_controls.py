"""The sandbox's own calls as a client sees them."""

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
    """Let the next login fail."""
    answer = await client.post("/sandbox/faults", json={"path": PATH, **fields})
    assert answer.status_code == 201, answer.text
    return answer


async def test_a_code(client: httpx2.AsyncClient) -> None:
    """A code is created (201), and says whose it is."""
    answer = await client.post("/sandbox/codes", json={"appid": APPID})

    assert answer.status_code == 201
    assert answer.json().keys() == {"code", "openid"}
    assert len(answer.json()["code"]) == 32
    assert len(answer.json()["openid"]) == 28


async def test_a_code_for_a_given_user(client: httpx2.AsyncClient) -> None:
    """The openid of a code can be chosen."""
    answer = await client.post("/sandbox/codes", json={"appid": APPID, "openid": "o-alice"})

    assert answer.json()["openid"] == "o-alice"


async def test_an_errcode_fault_spends_no_code(client: httpx2.AsyncClient) -> None:
    """The next call gets WeChat's error with its text, and the same code works afterwards."""
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
async def test_an_answer_can_be_anything(
    client: httpx2.AsyncClient, fields: dict[str, object], status: int, body: str
) -> None:
    """A fault's status and body are what the next call gets: text as it is, the rest as JSON."""
    await fault(client, **fields)

    answer = await login(client)

    assert answer.status_code == status
    assert answer.text == body


async def test_an_errcode_with_a_status(client: httpx2.AsyncClient) -> None:
    """A WeChat error can come with another status than 200."""
    await fault(client, errcode=-1, status=500)

    answer = await login(client)

    assert answer.status_code == 500
    assert answer.json() == {"errcode": -1, "errmsg": "system error"}


async def test_a_delay_alone_answers_late(client: httpx2.AsyncClient) -> None:
    """A delayed call is answered as ever, after the delay; the one after it at once."""
    await fault(client, delay_seconds=0.1)

    started = time.monotonic()
    answer = await login(client)

    assert time.monotonic() - started >= 0.1
    assert "openid" in answer.json()


async def test_a_delay_goes_with_the_rest(client: httpx2.AsyncClient) -> None:
    """A delayed fault fails after the delay."""
    await fault(client, delay_seconds=0.1, errcode=-1)

    started = time.monotonic()
    answer = await login(client)

    assert time.monotonic() - started >= 0.1
    assert answer.json()["errcode"] == -1


async def test_faults_happen_in_order(client: httpx2.AsyncClient) -> None:
    """Faults come one after the other, each as often as it says, and then the sandbox is itself again."""
    await fault(client, errcode=-1, times=2)
    await fault(client, status=502)

    answers = [await login(client) for _ in range(4)]

    assert [answer.status_code for answer in answers] == [200, 200, 502, 200]
    assert [answer.json().get("errcode") for answer in answers if answer.text] == [-1, -1, None]


async def test_a_path_that_the_sandbox_lacks_can_be_given_an_answer(client: httpx2.AsyncClient) -> None:
    """A fault may be of a call that the sandbox does not have, which then answers it."""
    path = "/cgi-bin/user/info"
    await client.post("/sandbox/faults", json={"path": path, "body": {"access_token": "76_"}})

    assert (await client.get(path)).json() == {"access_token": "76_"}
    assert (await client.get(path)).json()["errcode"] == 40066


async def test_a_dropped_call_without_a_server(client: httpx2.AsyncClient) -> None:
    """In process there is no connection to drop, so the caller gets the exception of one that was."""
    await fault(client, drop=True)

    with pytest.raises(ConnectionResetError):
        await login(client)


async def test_a_fault_is_shown_as_it_was_understood(client: httpx2.AsyncClient) -> None:
    """The answer to a fault has its defaults in it."""
    assert (await fault(client, errcode=-1)).json() == {
        "path": PATH,
        "errcode": -1,
        "status": None,
        "delay_seconds": 0,
        "drop": False,
        "executed": False,
        "times": 1,
    }


async def test_calls_are_shown(client: httpx2.AsyncClient) -> None:
    """Every call of WeChat is listed with its outcome, newest last, and without its secrets."""
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
    """With executed the code is spent, and only the answer is lost or another."""
    code = (await client.post("/sandbox/codes", json={"appid": APPID})).json()["code"]
    await fault(client, executed=True, **fields)

    with suppress(ConnectionResetError):
        assert "openid" not in (await login(client, code)).text

    assert (await login(client, code)).json()["errcode"] == 40163


async def test_any_call_can_fail(client: httpx2.AsyncClient) -> None:
    """A fault falls on a POST as on a GET, before its token is looked at."""
    path = "/wxa/business/getuserphonenumber"
    await client.post("/sandbox/faults", json={"path": path, "errcode": 40029})

    answer = await client.post(path, json={"code": "any"})

    assert answer.json()["errmsg"].startswith("invalid code hint: [")
    assert (await client.post(path, json={"code": "any"})).json()["errcode"] == 41001


async def test_bodies_are_among_the_calls(client: httpx2.AsyncClient) -> None:
    """What was posted is listed without its secrets."""
    await client.post("/cgi-bin/stable_token", json={"appid": APPID, "secret": SECRET})

    (call,) = (await client.get("/sandbox/calls")).json()["calls"]

    assert call["method"] == "POST"
    assert call["body"] == {"appid": APPID, "secret": "0123***"}


@pytest.mark.parametrize("path", [PATH, "/cgi-bin/stable_token", "/sandbox/codes"])
async def test_a_large_body_is_refused(client: httpx2.AsyncClient, path: str) -> None:
    """One byte more than a MiB is 413, a problem, for WeChat's calls as for the sandbox's own."""
    answer = await client.post(path, content=b"x" * (1024 * 1024 + 1), headers=JSON)

    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_dropped_call_has_no_status(client: httpx2.AsyncClient) -> None:
    """A call that was never answered is listed with a null status."""
    await fault(client, drop=True)
    with pytest.raises(ConnectionResetError):
        await login(client)

    assert (await client.get("/sandbox/calls")).json()["calls"][-1]["status"] is None


async def test_the_clock_moves_on(client: httpx2.AsyncClient) -> None:
    """An advance answers (200) with the new time, in UTC."""
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
async def test_a_wrong_order_is_explained(client: httpx2.AsyncClient, path: str, body: str, reason: str) -> None:
    """A control that is used wrongly is a 400 problem that says what is wrong."""
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
    """An unknown control, or a wrong method, is a problem too, and no call of WeChat."""
    answer = await client.request(method, path)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert (await client.get("/sandbox/calls")).json() == {"total": 0, "calls": []}
