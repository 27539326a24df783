"""POST /login/: the answers that the article's client expects, byte for byte."""

import re
from typing import Any

import httpx2
import pytest

from support.processes import APPID, Sandbox, Service

PATHS = ["/login/", "/login", "/login//"]
"""The last one goes the long way, through the framework's router."""
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
    """What WeChat sends along with a mini-program's request."""
    return {"Referer": f"https://servicewechat.com/{appid}/12/page-frame.html"}


def appid_of(service: Service, answer: httpx2.Response) -> str:
    """The app that a login was for."""
    return service.auth(answer.json()["data"]["token"]).headers["x-wx-appid"]


@pytest.mark.parametrize("path", PATHS)
def test_a_code_becomes_a_token_that_authenticates(either_service: Service, sandbox: Sandbox, path: str) -> None:
    """A good code is answered with status 0 and a token, nothing else, and the token opens a session."""
    answer = either_service.http.post(path, json={"code": sandbox.code()})
    token = answer.json()["data"]["token"]

    assert answer.status_code == 200
    assert answer.json() == {"status": 0, "msg": "ok", "data": {"token": token}}
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", token)
    assert either_service.auth(token).status_code == 204


def test_the_answer_is_json_that_nobody_caches(service: Service, sandbox: Sandbox) -> None:
    """An answer with a token says that it is JSON and that no cache may keep it."""
    answer = service.http.post("/login/", json={"code": sandbox.code()})

    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("body", [b'{"code":""}', b'{"code":null}', b"{}", b"null", b"", b'{"appid":"wx"}'])
def test_a_missing_code_is_status_1(service: Service, path: str, body: bytes) -> None:
    """A code that is missing, empty or null, or no body at all, is status 1 at HTTP 200."""
    answer = service.http.post(path, content=body, headers={"Content-Type": "application/json"})

    assert (answer.status_code, answer.json()) == (200, CODE_MISSING)


def test_a_request_without_body_and_content_type_is_status_1(service: Service) -> None:
    """A request without anything is status 1 at HTTP 200."""
    answer = service.http.post("/login/")

    assert (answer.status_code, answer.json()) == (200, CODE_MISSING)


@pytest.mark.parametrize("path", PATHS)
def test_an_unknown_code_is_status_2(service: Service, path: str) -> None:
    """A code that WeChat does not know is status 2 at HTTP 200."""
    answer = service.http.post(path, json={"code": "never-issued"})

    assert (answer.status_code, answer.json()) == (200, CODE_REFUSED)


def test_a_used_code_is_status_2(service: Service, sandbox: Sandbox) -> None:
    """A code works once; its second use is status 2 at HTTP 200."""
    code = sandbox.code()
    first, second = (service.http.post("/login/", json={"code": code}) for _ in range(2))

    assert first.json()["status"] == 0
    assert (second.status_code, second.json()) == (200, CODE_REFUSED)


def test_an_expired_code_is_status_2(service: Service, sandbox: Sandbox) -> None:
    """A code older than five minutes is status 2 at HTTP 200."""
    code = sandbox.code()
    sandbox.advance(301)
    answer = service.http.post("/login/", json={"code": code})

    assert (answer.status_code, answer.json()) == (200, CODE_REFUSED)


def test_a_code_of_another_app_is_status_2(service: Service, sandbox: Sandbox) -> None:
    """A code that another mini-program got is status 2 at HTTP 200."""
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
    """An appid that is not configured is status 3 at HTTP 400, and spends no code."""
    code = sandbox.code()
    answer = service.http.post("/login/", json={"code": code, "appid": appid})

    assert (answer.status_code, answer.json()) == (400, APP_UNKNOWN)
    assert service.http.post("/login/", json={"code": code}).json()["status"] == 0


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("fault", "status", "msg"), FAULTS, ids=lambda value: str(value))
def test_errors_of_wechat_are_status_3(
    service: Service, sandbox: Sandbox, path: str, fault: dict[str, Any], status: int, msg: str
) -> None:
    """Whatever goes wrong at WeChat is status 3, a Chinese text, and the HTTP status of its kind."""
    sandbox.fail(**fault)
    answer = service.http.post(path, json={"code": sandbox.code()})

    assert (answer.status_code, answer.json()) == (status, {"status": 3, "msg": msg})


@pytest.mark.parametrize("fault", [fault for fault, _, _ in FAULTS], ids=str)
def test_the_login_after_a_failure_works(service: Service, sandbox: Sandbox, fault: dict[str, Any]) -> None:
    """However WeChat failed, the next login succeeds."""
    sandbox.fail(**fault)
    service.http.post("/login/", json={"code": sandbox.code()})

    assert service.http.post("/login/", json={"code": sandbox.code()}).json()["status"] == 0


def test_a_quota_says_when_to_come_back(service: Service, sandbox: Sandbox) -> None:
    """Where trying later helps, Retry-After says when."""
    sandbox.fail(errcode=45011)
    answer = service.http.post("/login/", json={"code": sandbox.code()})

    assert answer.headers["retry-after"] == "60"


def test_a_code_is_sent_to_wechat_once(service: Service, sandbox: Sandbox) -> None:
    """When WeChat hangs up on a used connection, the code is not sent a second time: it may be spent."""
    service.log_in(sandbox.code())
    before = sandbox.call_count()
    sandbox.fail(drop=True)
    service.http.post("/login/", json={"code": sandbox.code()})

    assert sandbox.call_count() == before + 1


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("appid", [APPID, OTHER_APPID])
def test_the_appid_in_the_body_chooses_the_app(two_apps: Service, sandbox: Sandbox, path: str, appid: str) -> None:
    """Of several apps, the one named in the body is logged in to, whatever the Referer says."""
    body = {"code": sandbox.code(appid), "appid": appid}
    other = next(iter({APPID, OTHER_APPID} - {appid}))
    answer = two_apps.http.post(path, json=body, headers=referer(other))

    assert appid_of(two_apps, answer) == appid


@pytest.mark.parametrize("appid", [APPID, OTHER_APPID])
def test_the_referer_chooses_the_app(two_apps: Service, sandbox: Sandbox, appid: str) -> None:
    """Of several apps, the one that WeChat's Referer names is logged in to."""
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
def test_of_several_apps_none_is_guessed(two_apps: Service, sandbox: Sandbox, headers: dict[str, str]) -> None:
    """With several apps and no usable hint the login is refused with status 3, and spends no code."""
    code = sandbox.code()
    answer = two_apps.http.post("/login/", json={"code": code}, headers=headers)

    assert (answer.status_code, answer.json()) == (400, APP_UNKNOWN)
    assert two_apps.http.post("/login/", json={"code": code, "appid": APPID}).json()["status"] == 0


@pytest.mark.parametrize("headers", [{}, referer(OTHER_APPID), referer(APPID)], ids=str)
def test_the_only_app_needs_no_name(service: Service, sandbox: Sandbox, headers: dict[str, str]) -> None:
    """The only app is logged in to without being named, whatever app a Referer hints at."""
    answer = service.http.post("/login/", json={"code": sandbox.code()}, headers=headers)

    assert appid_of(service, answer) == APPID


def test_an_app_that_is_named_is_not_corrected(two_apps: Service, sandbox: Sandbox) -> None:
    """An unknown appid in the body is refused even when the Referer names a known one."""
    answer = two_apps.http.post("/login/", json={"code": sandbox.code(), "appid": "wx-unknown"}, headers=referer(APPID))

    assert (answer.status_code, answer.json()) == (400, APP_UNKNOWN)
