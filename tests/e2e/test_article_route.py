"""POST /login/: the answers that the article's client expects, byte for byte."""

import re
from typing import Any

import httpx2
import pytest

from support.processes import APPID, Sandbox, Service

PATHS = ["/login/", "/login", "/login//"]
"""The last path uses the framework's router."""
OTHER_APPID = "wxfedcba9876543210"

CODE_MISSING = {"status": 1, "msg": "缺少参数"}
CODE_REFUSED = {"status": 2, "msg": "无效的code", "data": "无效的code"}
MALFORMED = {"status": 3, "msg": "请求格式错误"}
APP_UNKNOWN = {"status": 3, "msg": "未知的小程序appid"}

FAULTS = [
    ({"errcode": -1}, 503, "微信服务暂时不可用，请重新登录"),
    ({"errcode": 40226}, 403, "该用户已被微信限制登录"),
    ({"errcode": 45011}, 429, "请求过于频繁，请稍后再试"),
    ({"errcode": 45009}, 429, "请求过于频繁，请稍后再试"),
    ({"errcode": 40164}, 500, "服务配置错误，请联系管理员"),
    ({"errcode": 40125}, 500, "服务配置错误，请联系管理员"),
    ({"errcode": 99999}, 503, "微信服务暂时不可用，请重新登录"),
    ({"status": 500}, 503, "微信服务暂时不可用，请重新登录"),
    ({"body": "<html>"}, 502, "微信服务返回异常，请重新登录"),
    ({"body": {"session_key": "a2V5"}}, 502, "微信服务返回异常，请重新登录"),
    ({"drop": True}, 503, "微信服务暂时不可用，请重新登录"),
]


def referer(appid: str) -> dict[str, str]:
    """Return the Referer that WeChat sends with a mini-program's request."""
    return {"Referer": f"https://servicewechat.com/{appid}/12/page-frame.html"}


def appid_of(service: Service, answer: httpx2.Response) -> str:
    """Return the appid of a login."""
    return service.auth(answer.json()["data"]["token"]).headers["x-wx-appid"]


@pytest.mark.parametrize("path", PATHS)
def test_a_code_becomes_a_token_that_authenticates(either_service: Service, sandbox: Sandbox, path: str) -> None:
    """A valid code is answered with status 0 and a token only, and the token authenticates."""
    answer = either_service.http.post(path, json={"code": sandbox.code()})
    token = answer.json()["data"]["token"]

    assert answer.status_code == 200
    assert answer.json() == {"status": 0, "msg": "ok", "data": {"token": token}}
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", token)
    assert either_service.auth(token).status_code == 204


def test_the_answer_is_json_that_is_not_cached(service: Service, sandbox: Sandbox) -> None:
    """An answer with a token has the content type of JSON, and forbids caches to store it."""
    answer = service.http.post("/login/", json={"code": sandbox.code()})

    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("body", [b'{"code":""}', b'{"code":null}', b"{}", b"null", b"", b'{"appid":"wx"}'])
def test_a_missing_code_is_status_1(service: Service, path: str, body: bytes) -> None:
    """A missing, empty or null code, or a missing body, is status 1 at HTTP 200."""
    answer = service.http.post(path, content=body, headers={"Content-Type": "application/json"})

    assert (answer.status_code, answer.json()) == (200, CODE_MISSING)


def test_a_request_without_body_and_content_type_is_status_1(service: Service) -> None:
    """A request without a body and a content type is status 1 at HTTP 200."""
    answer = service.http.post("/login/")

    assert (answer.status_code, answer.json()) == (200, CODE_MISSING)


@pytest.mark.parametrize("path", PATHS)
def test_an_unknown_code_is_status_2(service: Service, path: str) -> None:
    """An unknown code is status 2 at HTTP 200."""
    answer = service.http.post(path, json={"code": "never-issued"})

    assert (answer.status_code, answer.json()) == (200, CODE_REFUSED)


def test_a_used_code_is_status_2(service: Service, sandbox: Sandbox) -> None:
    """The second use of a code is status 2 at HTTP 200."""
    code = sandbox.code()
    first, second = (service.http.post("/login/", json={"code": code}) for _ in range(2))

    assert first.json()["status"] == 0
    assert (second.status_code, second.json()) == (200, CODE_REFUSED)


def test_an_expired_code_is_status_2(service: Service, sandbox: Sandbox) -> None:
    """A code that is older than five minutes is status 2 at HTTP 200."""
    code = sandbox.code()
    sandbox.advance(301)
    answer = service.http.post("/login/", json={"code": code})

    assert (answer.status_code, answer.json()) == (200, CODE_REFUSED)


def test_a_code_of_another_app_is_status_2(service: Service, sandbox: Sandbox) -> None:
    """A code of another mini-program is status 2 at HTTP 200."""
    answer = service.http.post("/login/", json={"code": sandbox.code(OTHER_APPID)})

    assert (answer.status_code, answer.json()) == (200, CODE_REFUSED)


@pytest.mark.parametrize(
    "body",
    [[], "code", 7, True, {"code": 7}, {"code": True}, {"code": ["a"]}, {"code": {}}, {"code": "x", "appid": 7}],
    ids=str,
)
def test_wrong_types_are_status_3(service: Service, body: Any) -> None:
    """A body of the wrong type is status 3 at HTTP 400."""
    answer = service.http.post("/login/", json=body)

    assert (answer.status_code, answer.json()) == (400, MALFORMED)


@pytest.mark.parametrize("appid", ["wx-unknown", OTHER_APPID, "", "../..", "x" * 1000])
def test_an_unknown_appid_is_status_3(service: Service, sandbox: Sandbox, appid: str) -> None:
    """An appid that is not configured is status 3 at HTTP 400, and does not use the code."""
    code = sandbox.code()
    answer = service.http.post("/login/", json={"code": code, "appid": appid})

    assert (answer.status_code, answer.json()) == (400, APP_UNKNOWN)
    assert service.http.post("/login/", json={"code": code}).json()["status"] == 0


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("fault", "status", "msg"), FAULTS, ids=lambda value: str(value))
def test_errors_of_wechat_are_status_3(
    service: Service, sandbox: Sandbox, path: str, fault: dict[str, Any], status: int, msg: str
) -> None:
    """An error of WeChat is status 3 with a Chinese text and the HTTP status of its kind."""
    sandbox.fail(**fault)
    answer = service.http.post(path, json={"code": sandbox.code()})

    assert (answer.status_code, answer.json()) == (status, {"status": 3, "msg": msg})


@pytest.mark.parametrize("fault", [fault for fault, _, _ in FAULTS], ids=str)
def test_the_login_after_a_failure_works(service: Service, sandbox: Sandbox, fault: dict[str, Any]) -> None:
    """After an error of WeChat, the next login succeeds."""
    sandbox.fail(**fault)
    service.http.post("/login/", json={"code": sandbox.code()})

    assert service.http.post("/login/", json={"code": sandbox.code()}).json()["status"] == 0


def test_a_rate_limit_has_a_retry_after(service: Service, sandbox: Sandbox) -> None:
    """When a later try can succeed, Retry-After says how long to wait."""
    sandbox.fail(errcode=45011)
    answer = service.http.post("/login/", json={"code": sandbox.code()})

    assert answer.headers["retry-after"] == "60"


def test_a_code_is_sent_to_wechat_once(service: Service, sandbox: Sandbox) -> None:
    """When WeChat closes the connection, the code is not sent again, because it may be used."""
    service.log_in(sandbox.code())
    before = sandbox.call_count()
    sandbox.fail(drop=True)
    service.http.post("/login/", json={"code": sandbox.code()})

    assert sandbox.call_count() == before + 1


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("appid", [APPID, OTHER_APPID])
def test_the_appid_in_the_body_chooses_the_app(two_apps: Service, sandbox: Sandbox, path: str, appid: str) -> None:
    """With several apps, the appid in the body selects the app, even when the Referer names another app."""
    body = {"code": sandbox.code(appid), "appid": appid}
    other = next(iter({APPID, OTHER_APPID} - {appid}))
    answer = two_apps.http.post(path, json=body, headers=referer(other))

    assert appid_of(two_apps, answer) == appid


@pytest.mark.parametrize("appid", [APPID, OTHER_APPID])
def test_the_referer_chooses_the_app(two_apps: Service, sandbox: Sandbox, appid: str) -> None:
    """With several apps, the appid in WeChat's Referer selects the app."""
    answer = two_apps.http.post("/login/", json={"code": sandbox.code(appid)}, headers=referer(appid))

    assert appid_of(two_apps, answer) == appid


@pytest.mark.parametrize(
    "headers",
    [
        {},
        referer("wx-unknown"),
        {"Referer": f"https://evil.example/{APPID}/0/page-frame.html"},
        {"Referer": f"http://servicewechat.com/{APPID}/0/page-frame.html"},
        {"Referer": f"https://servicewechat.com.evil.example/{APPID}/0/"},
        {"Referer": APPID},
    ],
    ids=str,
)
def test_with_several_apps_and_no_hint_a_login_is_refused(
    two_apps: Service, sandbox: Sandbox, headers: dict[str, str]
) -> None:
    """With several apps and no valid hint, the login is status 3 and does not use the code."""
    code = sandbox.code()
    answer = two_apps.http.post("/login/", json={"code": code}, headers=headers)

    assert (answer.status_code, answer.json()) == (400, APP_UNKNOWN)
    assert two_apps.http.post("/login/", json={"code": code, "appid": APPID}).json()["status"] == 0


@pytest.mark.parametrize("headers", [{}, referer(OTHER_APPID), referer(APPID)], ids=str)
def test_the_only_app_needs_no_appid(service: Service, sandbox: Sandbox, headers: dict[str, str]) -> None:
    """With one app, a login needs no appid, and the Referer has no effect."""
    answer = service.http.post("/login/", json={"code": sandbox.code()}, headers=headers)

    assert appid_of(service, answer) == APPID


def test_an_unknown_appid_in_the_body_is_refused(two_apps: Service, sandbox: Sandbox) -> None:
    """An unknown appid in the body is refused, even when the Referer names a known app."""
    answer = two_apps.http.post("/login/", json={"code": sandbox.code(), "appid": "wx-unknown"}, headers=referer(APPID))

    assert (answer.status_code, answer.json()) == (400, APP_UNKNOWN)
