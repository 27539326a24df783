"""Answers to repeated polls of /oauth2/token, in front of the framework.

A website polls every two seconds, with the same bytes each time. Once the framework has answered a request with
authorization_pending, its credentials and its code are known to be right, so the same bytes need no parsing.
"""

import time
from collections.abc import Mapping
from types import MappingProxyType

from litestar.types import ASGIApp, Receive, Scope, Send

from domain.device_grant import PollRefusal
from entrypoints.http.dependencies import runtime_of
from entrypoints.http.middleware import REQUEST_ID_HEADER, SECURITY_HEADERS, request_id_of
from entrypoints.http.oauth_errors import OAuthError
from entrypoints.http.raw import NO_STORE, RawResponse

PATH = "/oauth2/token"

ERRORS: Mapping[PollRefusal, OAuthError] = MappingProxyType(
    {
        PollRefusal.AUTHORIZATION_PENDING: OAuthError(
            "authorization_pending", "No user has scanned the code yet", scanned=False
        ),
        PollRefusal.SCANNED: OAuthError(
            "authorization_pending", "A user has scanned the code, and has not answered yet", scanned=True
        ),
        PollRefusal.SLOW_DOWN: OAuthError("slow_down", "Wait 5 seconds longer from now on"),
        PollRefusal.ACCESS_DENIED: OAuthError("access_denied", "The user refused, logged out or is blocked"),
        PollRefusal.EXPIRED_TOKEN: OAuthError("expired_token", "The scan expired; start another one"),
        PollRefusal.INVALID_GRANT: OAuthError(
            "invalid_grant", "The device code is unknown, used, or of another client"
        ),
    }
)

RESPONSES = {
    refusal: RawResponse.json(400, error, NO_STORE)
    for refusal, error in ERRORS.items()
    if refusal.is_pending or refusal is PollRefusal.SLOW_DOWN
}


def with_known_polls(app: ASGIApp) -> ASGIApp:
    """Return `app`, the one of PATH, behind the answers to known polls."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        refusal = await _refuse(scope, receive)
        if refusal is None:
            await app(scope, receive, send)
            return
        status, headers, body = RESPONSES[refusal]
        request_id = (REQUEST_ID_HEADER, request_id_of(scope["headers"]).encode())
        await RawResponse(status, [*headers, *SECURITY_HEADERS, request_id], body).send(send)
        metrics = runtime_of(scope["litestar_app"].state).container.metrics()
        metrics.answered("POST", PATH, status, time.perf_counter() - began)

    return application


async def _refuse(scope: Scope, receive: Receive) -> PollRefusal | None:
    if (scope["method"], scope["path"]) != ("POST", PATH):  # type: ignore[typeddict-item]  # HTTP only
        return None
    message = await receive()  # the whole body, which `with_request_limits` has read
    runtime = runtime_of(scope["litestar_app"].state)
    return runtime.polls.refuse(scope["headers"], message["body"], runtime.container.scans())  # type: ignore[typeddict-item]  # as above
