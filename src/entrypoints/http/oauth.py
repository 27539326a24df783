"""/oauth2: introspection (RFC 7662) and revocation (RFC 7009) of tokens, for the backends of WXLOGIN_CLIENTS."""

import hmac
from base64 import b64decode
from typing import Any, Literal, Self
from urllib.parse import unquote_plus

import msgspec
from litestar import Response, Router, post
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.exceptions import ClientException, HTTPException
from litestar.openapi import ResponseSpec
from litestar.params import URLEncodedBody

from domain.errors import RateLimited, StoreUnavailable, Unauthenticated
from domain.identity import AppId
from domain.session import Session
from entrypoints.http.contract import CLIENT, problems
from entrypoints.http.dependencies import CallerRequest, address_of, network_of, route_of, runtime_of
from entrypoints.http.errors import AnyRequest, as_error, headers_of
from entrypoints.http.raw import NO_STORE
from entrypoints.instrumented import InstrumentedSessions
from entrypoints.log import log, log_error, log_session
from entrypoints.responses import SecretStruct

CHALLENGE = {"www-authenticate": 'Basic realm="wxlogin", charset="UTF-8"'}


class TokenRequest(SecretStruct, frozen=True):
    """The token. `token_type_hint` is ignored, because there is one type of token."""

    token: str
    token_type_hint: str | None = None


class Introspection(msgspec.Struct, frozen=True, omit_defaults=True):
    """The response of introspection (RFC 7662 section 2.2). Without a live session it is `{"active":false}`.

    `sub` is the user's id, `client_id` the appid, `sid` the session's id. Times are seconds since 1970; `exp` is when
    the session expires if it is not used.
    """

    active: bool
    sub: str | None = None
    client_id: str | None = None
    token_type: str | None = None
    iat: int | None = None
    exp: int | None = None
    sid: str | None = None
    openid: str | None = None
    unionid: str | None = None

    @classmethod
    def of(cls, session: Session) -> Self:
        """Return the response for a live session."""
        return cls(
            active=True,
            sub=session.user_id,
            client_id=session.identity.appid.value,
            token_type="Bearer",  # noqa: S106  # RFC 6750's word
            iat=int(session.created_at.timestamp()),
            exp=int(session.idle_expires_at.timestamp()),
            sid=session.id,
            openid=session.identity.openid,
            unionid=session.identity.unionid,
        )


class OAuthError(msgspec.Struct, frozen=True):
    """An error of RFC 6749 section 5.2."""

    error: Literal["invalid_client", "invalid_request"]
    error_description: str


class ClientUnknown(Exception):
    """The request has no credentials of a configured client."""


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


def client_unknown(_request: AnyRequest, _error: ClientUnknown) -> Response[OAuthError]:
    """Return 401 with the scheme to use."""
    error = OAuthError("invalid_client", "Send the id and secret of one of WXLOGIN_CLIENTS by HTTP Basic")
    return Response(error, status_code=401, headers={**CHALLENGE, **NO_STORE})


def client_limited(request: AnyRequest, error: RateLimited) -> Response[OAuthError]:
    """Return 429 with Retry-After (RFC 6585 section 4).

    RFC 6749 section 5.2 has no code for limits. The reason is that authentication failed, and so is the code.
    """
    log_error(error, route_of(request.scope), ip=address_of(request.scope))
    return Response(OAuthError("invalid_client", error.detail), status_code=429, headers=headers_of(error))


def request_invalid(_request: AnyRequest, error: HTTPException) -> Response[OAuthError]:
    """Return 400 for a body that is no form or has no token."""
    status = error.status_code if error.status_code == 405 else 400
    headers = {**(error.headers or {}), **NO_STORE}
    return Response(OAuthError("invalid_request", as_error(error).detail), status_code=status, headers=headers)


REFUSALS: dict[str, Any] = {
    "security": CLIENT,
    "status_code": 200,
    "responses": {
        400: ResponseSpec(OAuthError, description="invalid_request", generate_examples=False),
        401: ResponseSpec(OAuthError, description="invalid_client", generate_examples=False),
        429: ResponseSpec(OAuthError, description="invalid_client", generate_examples=False),
        **problems(StoreUnavailable),
    },
}


@post("/introspect", **REFUSALS)
async def introspect(
    data: URLEncodedBody[TokenRequest], client: NamedDependency[Client], sessions: NamedDependency[InstrumentedSessions]
) -> Introspection:
    """Return whose token it is, and count this as use of its session. Tokens of other apps are inactive."""
    try:
        return Introspection.of(await sessions.authenticate(data.token, client.apps))
    except Unauthenticated:
        return Introspection(active=False)


@post("/revoke", **REFUSALS)
async def revoke(
    request: CallerRequest,
    data: URLEncodedBody[TokenRequest],
    client: NamedDependency[Client],
    sessions: NamedDependency[InstrumentedSessions],
) -> Response[bytes]:
    """End the session of the token. The response is 200 without a session, too (RFC 7009 section 2.2)."""
    if revoked := await sessions.revoke(data.token, client.apps):
        log_session("revoked", revoked, ip=address_of(request.scope), client=client.id)
    return Response(b"", media_type="text/plain")


router = Router(
    "/oauth2",
    tags=["OAuth"],
    route_handlers=[introspect, revoke],
    dependencies={"client": Provide(provide_client)},
    exception_handlers={ClientUnknown: client_unknown, RateLimited: client_limited, HTTPException: request_invalid},
)
