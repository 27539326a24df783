"""/oauth2: introspection (RFC 7662) and revocation (RFC 7009) of tokens, for the backends of WXLOGIN_CLIENTS.

Tokens are issued in `oauth_token.py`, and scans begin in `device.py`.
"""

import hmac
from base64 import b64decode
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Self
from urllib.parse import unquote_plus

import msgspec
from litestar import Response, Router, post
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.exceptions import ClientException
from litestar.handlers import HTTPRouteHandler
from litestar.params import URLEncodedBody

from application.sessions import Sessions
from application.signed_tokens import SignedTokens
from domain.errors import Unauthenticated
from domain.event import Cause
from domain.identity import AppId
from domain.session import Session, SessionToken
from entrypoints.http.contract import CLIENT
from entrypoints.http.dependencies import CallerRequest, address_of, network_of, runtime_of
from entrypoints.http.oauth_errors import OAUTH_EXCEPTION_HANDLERS, ClientUnknown, refusals, require_form
from entrypoints.instrumented import SessionChecks
from entrypoints.log import log, log_session
from entrypoints.responses import SecretStruct


class TokenRequest(SecretStruct, frozen=True):
    """A session token or a signed token. `token_type_hint` is ignored, because the form of a token tells its type."""

    token: str
    token_type_hint: str | None = None


class Introspection(msgspec.Struct, frozen=True, omit_defaults=True):
    """The response of introspection (RFC 7662 section 2.2). Without a live session it is `{"active":false}`.

    `sub` is the user's id, `client_id` the appid, `sid` the session's id. Times are seconds since 1970. For a session
    token, `exp` is when the session expires if it is not used. A signed token has its own `iat` and `exp`, and `iss`,
    `aud` and `jti`.
    """

    active: bool
    sub: str | None = None
    client_id: str | None = None
    token_type: str | None = None
    iat: int | None = None
    exp: int | None = None
    sid: str | None = None
    iss: str | None = None
    aud: str | None = None
    jti: str | None = None
    openid: str | None = None
    unionid: str | None = None

    @classmethod
    def of(cls, session: Session, claims: Mapping[str, Any] | None = None) -> Self:
        """Return the response for a live session; `claims`: those of its signed token."""
        claims = claims or {}
        return cls(
            active=True,
            sub=session.user_id,
            client_id=session.identity.appid.value,
            token_type="Bearer",  # noqa: S106  # RFC 6750's word
            iat=claims.get("iat") or int(session.created_at.timestamp()),
            exp=claims.get("exp") or int(session.idle_expires_at.timestamp()),
            sid=session.id,
            iss=claims.get("iss"),
            aud=claims.get("aud"),
            jti=claims.get("jti"),
            openid=session.identity.openid,
            unionid=session.identity.unionid,
        )


class Client(msgspec.Struct, frozen=True):
    """A backend that may introspect the tokens of `apps`; None: of all apps."""

    id: str
    apps: frozenset[AppId] | None


async def provide_client(request: CallerRequest, state: State) -> Client:
    """Return the client whose credentials the request brings by HTTP Basic.

    A failure is logged and counted against the caller's address. Raises ClientUnknown, RateLimited and
    StoreUnavailable, and ClientException for a request with several Authorization headers.
    """
    container = runtime_of(state).container
    configured = container.settings().clients
    authorizations = request.headers.getall("authorization", [])
    if len(authorizations) > 1:
        raise ClientException("The request has several Authorization headers")
    pairs = _credentials("".join(authorizations))
    for name, secret in pairs:
        client = configured.get(name)
        if client and hmac.compare_digest(client.secret.get_secret_value().encode(), secret.encode()):
            return Client(name, frozenset(map(AppId, client.apps)) if client.apps else None)
    ip = address_of(request.scope)
    if network := network_of(request.scope):
        await container.client_failures().take(network)
    log.warning("client_refused", ip=ip, client=next((name for name, _ in pairs if name in configured), None))
    raise ClientUnknown


def _credentials(authorization: str) -> list[tuple[str, str]]:
    """Return the pairs of id and secret that the header can mean; none if it is not HTTP Basic.

    RFC 6749 section 2.3.1 wants both parts form-encoded, which not all clients do: either is right.
    """
    scheme, _, encoded = authorization.partition(" ")
    try:
        given, _, secret = b64decode(encoded.strip(), validate=True).decode().partition(":")
    except ValueError:
        return []
    return [(given, secret), (unquote_plus(given), unquote_plus(secret))] if scheme.lower() == "basic" else []


REFUSALS: dict[str, Any] = {
    "security": CLIENT,
    "status_code": 200,
    "responses": refusals({400: "invalid_request", 401: "invalid_client", 429: "invalid_client"}),
}


@post("/introspect", **REFUSALS)
async def introspect(
    data: URLEncodedBody[TokenRequest],
    client: NamedDependency[Client],
    checks: NamedDependency[SessionChecks],
    signed_tokens: NamedDependency[SignedTokens],
) -> Introspection:
    """Return whose token it is, and count this as use of its session. Tokens of other apps are inactive.

    A signed token is active as long as its session is live, too.
    """
    try:
        if claims := signed_tokens.read(data.token):
            return Introspection.of(await checks.use(claims["sid"], client.apps), claims)
        return Introspection.of(await checks.authenticate(data.token, client.apps))
    except Unauthenticated:
        return Introspection(active=False)


@post("/revoke", **REFUSALS)
async def revoke(
    request: CallerRequest,
    data: URLEncodedBody[TokenRequest],
    client: NamedDependency[Client],
    sessions: NamedDependency[Sessions],
    signed_tokens: NamedDependency[SignedTokens],
) -> Response[bytes]:
    """End the session of the token. The response is 200 without a session, too (RFC 7009 section 2.2).

    Who verifies a signed token by itself accepts it until it expires.
    """
    claims = signed_tokens.read(data.token)
    with suppress(Unauthenticated):
        session_id = claims["sid"] if claims else SessionToken(data.token).session_id
        ip = address_of(request.scope)
        if revoked := await sessions.revoke(session_id, Cause.client(client.id, ip), client.apps):
            log_session("revoked", revoked, ip=ip, client=client.id)
    return Response(b"", media_type="text/plain")


def oauth_router(*handlers: HTTPRouteHandler) -> Router:
    """Return a router of /oauth2, whose errors are those of OAuth."""
    return Router(
        "/oauth2",
        tags=["OAuth"],
        route_handlers=handlers,
        dependencies={"client": Provide(provide_client)},
        before_request=require_form,
        exception_handlers=OAUTH_EXCEPTION_HANDLERS,
    )


router = oauth_router(introspect, revoke)
