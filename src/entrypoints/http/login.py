"""POST /login/ with `status`, `msg` and `data`: the interface of docs/reference/interface.md.

wxlogin grew from an article that does a login in sixty lines of Django. Clients of that article work unchanged, so this
route keeps its interface, called "the article's" in names and texts. New clients use POST /v1/sessions.
"""

from collections.abc import Mapping

import msgspec
from litestar import Response, post
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException
from litestar.openapi import ResponseSpec
from litestar.params import JSONBody

from application.login import LoginRequest
from domain.errors import (
    AppMisconfigured,
    AppUnknown,
    CodeInvalid,
    CodeMissing,
    CodeUsed,
    IdentityProviderBadResponse,
    IdentityProviderUnavailable,
    RateLimited,
    RequestInvalid,
    StoreUnavailable,
    UserBlocked,
    UserBlockedByProvider,
    WxLoginError,
)
from entrypoints.http.contract import RATE_LIMITED, codes_by_status
from entrypoints.http.dependencies import CallerRequest, device_of, login_context_of, route_of, take_login_quota
from entrypoints.http.errors import AnyRequest, as_error, headers_of
from entrypoints.http.raw import NO_STORE
from entrypoints.instrumented import InstrumentedLogin
from entrypoints.log import log, log_failed_login
from entrypoints.problems import outcome_of
from entrypoints.responses import SecretStruct

ROUTE = "/login"
PATHS = ("/login", "/login/")


class ArticleToken(SecretStruct, frozen=True):
    """The token of a login."""

    token: str


class ArticleResponse(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of POST /login/. `data` is the token, the reason of a refusal, or absent."""

    status: int
    msg: str
    data: ArticleToken | str | None = None


MESSAGES: dict[type[WxLoginError], str] = {
    RequestInvalid: "请求格式错误",
    AppUnknown: "未知的小程序appid",
    UserBlockedByProvider: "该用户已被{provider}限制登录",
    UserBlocked: "该用户已被禁止登录",
    RateLimited: "请求过于频繁，请稍后再试",
    AppMisconfigured: "服务配置错误，请联系管理员",
    IdentityProviderUnavailable: "{provider}服务暂时不可用，请重新登录",
    IdentityProviderBadResponse: "{provider}服务返回异常，请重新登录",
    StoreUnavailable: "服务暂时不可用，请重新登录",
}
"""The texts of status 3. `{provider}` is the name of the identity provider."""

CHINESE_NAMES = {"WeChat": "微信"}
"""The names of identity providers that the article's client expects."""

ANY_PROVIDER = "登录平台"
"""Stands for all others: "the platform of the login"."""

LIMIT_EXCEEDED = ArticleResponse(3, MESSAGES[RequestInvalid])
"""The response to a request that exceeds a limit of requests."""


ERROR_RESPONSES = {
    status: ResponseSpec(ArticleResponse, description=f"status 3: {codes}", generate_examples=False)
    for status, codes in codes_by_status(*MESSAGES).items()
}


def error_response(request: AnyRequest, error: Exception) -> Response[ArticleResponse]:
    """Return the response to an error, in the article's shape."""
    scope = request.scope
    if isinstance(error, HTTPException):
        error = as_error(error)
    if not isinstance(error, WxLoginError):
        log.error("defect", where=route_of(scope), exc_info=error)
        return _answer(ArticleResponse(3, "服务内部错误"), 500)
    log_failed_login(error, route_of(scope), device_of(scope).ip)
    match error:
        case CodeMissing():
            return _answer(ArticleResponse(1, "缺少参数"))
        case CodeInvalid() | CodeUsed():
            return _answer(ArticleResponse(2, "无效的code", "无效的code"))
    return _answer(ArticleResponse(3, message_of(error)), outcome_of(error).http, headers_of(error))


def message_of(error: WxLoginError) -> str:
    """Return the Chinese text of an error with status 3."""
    message = next(MESSAGES[kind] for kind in type(error).__mro__ if kind in MESSAGES)
    return message.format(provider=CHINESE_NAMES.get(error.provider, ANY_PROVIDER))


def _answer(
    answer: ArticleResponse, status: int = 200, headers: Mapping[str, str] = NO_STORE
) -> Response[ArticleResponse]:
    return Response(answer, status_code=status, headers=headers)


@post(
    ROUTE,
    status_code=200,
    exception_handlers={WxLoginError: error_response, HTTPException: error_response, Exception: error_response},
    tags=["Login"],
    summary="Log in, in the article's words",
    responses=ERROR_RESPONSES,
    response_headers=RATE_LIMITED,
)
async def log_in(
    request: CallerRequest, login: NamedDependency[InstrumentedLogin], data: JSONBody[LoginRequest | None] = None
) -> Response[ArticleResponse]:
    """Log in with the code of wx.login().

    `status` is 0 if `data.token` is the token of a session, 1 if the code is missing, 2 if WeChat refuses the code, so
    that wx.login() must be called again, and 3 for all other errors, which the HTTP status distinguishes.
    """
    scope = request.scope
    context = login_context_of(scope)
    headers = await take_login_quota(scope)
    logged_in = await login(data or LoginRequest(), context)
    return _answer(ArticleResponse(0, "ok", ArticleToken(logged_in.token.value)), headers=NO_STORE | headers)
