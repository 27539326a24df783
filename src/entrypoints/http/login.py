"""POST /login/: the contract of the article that all this grew from, answer for answer."""

import msgspec
from litestar import Response, post
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException
from litestar.openapi import ResponseSpec
from litestar.params import JSONBody
from litestar.types import ExceptionHandlersMap

from application.login import LoginRequest, LoginUseCase
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
from entrypoints.http.caller import CallerRequest, admit, client_of, hinted_appid
from entrypoints.http.contract import RATE_LIMITED, codes_by_status
from entrypoints.http.errors import AnyRequest, as_error, route_of
from entrypoints.log import log, log_error, log_login
from entrypoints.problems import NO_STORE, headers_of, outcome_of


class ArticleToken(msgspec.Struct, frozen=True):
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


def envelope(request: AnyRequest, error: Exception) -> Response[ArticleAnswer]:
    """Any error, in the article's shape."""
    match error:
        case CodeMissing():
            return Response(ArticleAnswer(1, "缺少参数"), status_code=200, headers=NO_STORE)
        case CodeInvalid() | CodeUsed():
            log_error(error, route_of(request.scope))
            return Response(ArticleAnswer(2, "无效的code", "无效的code"), status_code=200, headers=NO_STORE)
        case WxLoginError():
            return _other(error, request)
        case HTTPException():
            return _other(as_error(error), request)
    log.error("defect", where=route_of(request.scope), exc_info=error)
    return Response(ArticleAnswer(3, "服务内部错误"), status_code=500, headers=NO_STORE)


def _other(error: WxLoginError, request: AnyRequest) -> Response[ArticleAnswer]:
    log_error(error, route_of(request.scope))
    message = next(MESSAGES[kind] for kind in type(error).__mro__ if kind in MESSAGES)
    return Response(ArticleAnswer(3, message), status_code=outcome_of(error).http, headers=headers_of(error))


REFUSALS = {
    status: ResponseSpec(ArticleAnswer, description=f"status 3: {codes}", generate_examples=False)
    for status, codes in codes_by_status(*MESSAGES).items()
}

ENVELOPES: ExceptionHandlersMap = {WxLoginError: envelope, HTTPException: envelope, Exception: envelope}


@post(
    "/login",
    status_code=200,
    exception_handlers=ENVELOPES,
    tags=["Login"],
    summary="Log in, in the article's words",
    responses=REFUSALS,
    response_headers=RATE_LIMITED,
)
async def log_in(
    request: CallerRequest,
    login: NamedDependency[LoginUseCase],
    data: JSONBody[LoginRequest | None] = None,
) -> Response[ArticleAnswer]:
    """Log in with the code of wx.login().

    `status` 0: `data.token` is the session's token. 1: the code is missing. 2: WeChat refuses the code, call wx.login()
    again. 3: anything else, with an HTTP status that tells.
    """
    headers = await admit(request)
    logged_in = await login(data or LoginRequest(), client_of(request), hinted_appid(request.headers))
    log_login(logged_in)
    return Response(ArticleAnswer(0, "ok", ArticleToken(logged_in.token.value)), headers=headers)
