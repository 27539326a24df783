"""POST /login/: the contract of the article that all this grew from, answer for answer."""

from typing import NamedTuple

import msgspec
from litestar import Response, post
from litestar.exceptions import HTTPException
from litestar.openapi import ResponseSpec
from litestar.params import JSONBody
from litestar.types import ASGIApp, Receive, Scope, Send

from application.login import LoginRequest
from domain.errors import (
    AppMisconfigured,
    AppUnknown,
    CodeInvalid,
    CodeMissing,
    CodeUsed,
    RateLimited,
    RequestInvalid,
    StoreUnavailable,
    UserBlocked,
    UserBlockedByWeChat,
    WeChatBadAnswer,
    WeChatUnavailable,
    WxLoginError,
)
from entrypoints.answers import SecretStruct
from entrypoints.counted import CountedLogin
from entrypoints.http.caller import CallerRequest, admit, client_of, hinted_appid, token_of
from entrypoints.http.contract import RATE_LIMITED, codes_by_status
from entrypoints.http.errors import AnyRequest, as_error, route_of
from entrypoints.http.raw import RawResponse, body_of
from entrypoints.log import log, log_failed_login, log_login
from entrypoints.problems import NO_STORE, headers_of, outcome_of

ROUTE = "/login"
PATHS = ("/login", "/login/")

_decoder = msgspec.json.Decoder(LoginRequest | None)


class ArticleToken(SecretStruct, frozen=True):
    """What a login gives."""

    token: str


class ArticleAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The article's envelope. `data` is the token, or what is wrong, or absent."""

    status: int
    msg: str
    data: ArticleToken | str | None = None


MESSAGES: dict[type[WxLoginError], str] = {
    RequestInvalid: "请求格式错误",
    AppUnknown: "未知的小程序appid",
    UserBlockedByWeChat: "该用户已被微信限制登录",
    UserBlocked: "该用户已被禁止登录",
    RateLimited: "请求过于频繁，请稍后再试",
    AppMisconfigured: "服务配置错误，请联系管理员",
    WeChatUnavailable: "微信服务暂时不可用，请重新登录",
    WeChatBadAnswer: "微信服务返回异常，请重新登录",
    StoreUnavailable: "服务暂时不可用，请重新登录",
}
"""The texts of status 3."""


class Enveloped(NamedTuple):
    """An answer of the article, and what HTTP adds."""

    answer: ArticleAnswer
    status: int = 200
    headers: dict[str, str] = NO_STORE


def enveloped(error: Exception, scope: Scope) -> Enveloped:
    """Any error, in the article's shape."""
    if isinstance(error, HTTPException):
        error = as_error(error)
    if not isinstance(error, WxLoginError):
        log.error("defect", where=route_of(scope), exc_info=error)
        return Enveloped(ArticleAnswer(3, "服务内部错误"), 500)
    log_failed_login(error, route_of(scope), client_of(scope).ip)
    match error:
        case CodeMissing():
            return Enveloped(ArticleAnswer(1, "缺少参数"))
        case CodeInvalid() | CodeUsed():
            return Enveloped(ArticleAnswer(2, "无效的code", "无效的code"))
    message = next(MESSAGES[kind] for kind in type(error).__mro__ if kind in MESSAGES)
    return Enveloped(ArticleAnswer(3, message), outcome_of(error).http, headers_of(error))


MALFORMED = ArticleAnswer(3, MESSAGES[RequestInvalid])
"""The answer to a request that does not keep to the bounds of the edge."""


async def _log_in(scope: Scope, asked: LoginRequest | None) -> Enveloped:
    held = token_of(scope["headers"])
    headers = await admit(scope)
    login: CountedLogin = scope["litestar_app"].state.container.counted_login()
    logged_in = await login(asked or LoginRequest(), client_of(scope), hinted_appid(scope), held)
    log_login(logged_in)
    return Enveloped(ArticleAnswer(0, "ok", ArticleToken(logged_in.token.value)), headers=NO_STORE | headers)


def answered_before(app: ASGIApp) -> ASGIApp:
    """`app`, with logins answered before its router sees them: the framework is a quarter of a login's cost."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in PATHS and scope.get("method") == "POST":
            scope["path_template"] = ROUTE
            answer, status, headers = await _answer(scope, receive)
            await RawResponse.json(status, answer, headers).send(send)
        else:
            await app(scope, receive, send)

    return application


async def _answer(scope: Scope, receive: Receive) -> Enveloped:
    try:
        return await _log_in(scope, _decode(await body_of(receive)))
    except Exception as error:  # noqa: BLE001  # there is nobody behind this to answer for a defect
        return enveloped(error, scope)


def _decode(body: bytes) -> LoginRequest | None:
    try:
        return _decoder.decode(body.decode()) if body else None  # msgspec looks at no name that it does not know
    except (ValueError, RecursionError) as error:
        raise RequestInvalid(f"body: {error}") from None


REFUSALS = {
    status: ResponseSpec(ArticleAnswer, description=f"status 3: {codes}", generate_examples=False)
    for status, codes in codes_by_status(*MESSAGES).items()
}


def _response(told: Enveloped) -> Response[ArticleAnswer]:
    return Response(told.answer, status_code=told.status, headers=told.headers)


def envelope(request: AnyRequest, error: Exception) -> Response[ArticleAnswer]:
    """What the framework answers to an error."""
    return _response(enveloped(error, request.scope))


@post(
    ROUTE,
    status_code=200,
    exception_handlers={WxLoginError: envelope, HTTPException: envelope, Exception: envelope},
    tags=["Login"],
    summary="Log in, in the article's words",
    responses=REFUSALS,
    response_headers=RATE_LIMITED,
)
async def log_in(request: CallerRequest, data: JSONBody[LoginRequest | None] = None) -> Response[ArticleAnswer]:
    """Log in with the code of wx.login().

    `status` 0: `data.token` is the session's token. 1: the code is missing. 2: WeChat refuses the code, call wx.login()
    again. 3: anything else, with an HTTP status that tells.
    """
    return _response(await _log_in(request.scope, data))
