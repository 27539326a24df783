"""POST /oauth2/token: one function for each grant."""

from collections.abc import Awaitable, Callable

from litestar import Router, post
from litestar.params import URLEncodedBody

from domain.errors import RequestInvalid
from entrypoints.http.dependencies import CallerRequest, address_of, runtime_of
from entrypoints.http.oauth_errors import OAUTH_EXCEPTION_HANDLERS, ErrorCode, OAuthRefusal, refusals, require_form
from entrypoints.log import log_session
from entrypoints.responses import SecretStruct

TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105  # RFC 8693's word
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105  # RFC 8693's word


class GrantRequest(SecretStruct, frozen=True):
    """The parameters of all grants. One without a value counts as absent (RFC 6749 section 3.2)."""

    grant_type: str
    subject_token: str = ""
    subject_token_type: str = ""
    audience: str = ""
    requested_token_type: str = ""
    actor_token: str = ""
    resource: str = ""
    scope: str = ""


class GrantResponse(SecretStruct, frozen=True, omit_defaults=True):
    """The response of a grant: RFC 6749 section 5.1, and RFC 8693 section 2.2.1. `expires_in` is in seconds."""

    access_token: str
    token_type: str
    expires_in: int
    issued_token_type: str | None = None


Grant = Callable[[CallerRequest, GrantRequest], Awaitable[GrantResponse]]

UNSUPPORTED: dict[str, ErrorCode] = {
    "actor_token": "invalid_request",
    "resource": "invalid_target",
    "scope": "invalid_scope",
}
"""The parameters of RFC 8693 that would change the meaning of the token, and their errors."""


async def exchange_token(request: CallerRequest, grant: GrantRequest) -> GrantResponse:
    """Return a signed token for the session token (RFC 8693). Who has the session token may."""
    runtime = runtime_of(request.app.state)
    if not runtime.container.settings().signing_keys:
        raise OAuthRefusal("unsupported_grant_type", "This service signs no tokens")
    _require_exchange(grant)
    signed_tokens = runtime.container.signed_tokens()
    try:
        signed_tokens.require_audience(grant.audience)
    except RequestInvalid as error:
        raise OAuthRefusal("invalid_target", error.detail) from None
    session = await runtime.sessions.authenticate(grant.subject_token)
    token = await signed_tokens.exchange(session, grant.audience)
    log_session("token_exchanged", session, ip=address_of(request.scope), audience=grant.audience)
    return GrantResponse(token.value, "Bearer", int(token.expires_in.total_seconds()), ACCESS_TOKEN)


def _require_exchange(grant: GrantRequest) -> None:
    """Raise OAuthRefusal unless the parameters are those of a token exchange that this service does."""
    for name in ("subject_token", "subject_token_type", "audience"):
        if not getattr(grant, name):
            raise OAuthRefusal("invalid_request", f"{name} is missing")
    if grant.subject_token_type != ACCESS_TOKEN:
        raise OAuthRefusal("invalid_request", f"subject_token_type must be {ACCESS_TOKEN}")
    if grant.requested_token_type not in ("", ACCESS_TOKEN):
        raise OAuthRefusal("invalid_request", f"requested_token_type must be absent, or {ACCESS_TOKEN}")
    for name, error in UNSUPPORTED.items():
        if getattr(grant, name):
            raise OAuthRefusal(error, f"{name} is not supported")


GRANTS: dict[str, Grant] = {TOKEN_EXCHANGE: exchange_token}
"""By the value of `grant_type`."""


@post(
    "/token",
    status_code=200,
    responses=refusals(
        {
            400: "invalid_request, invalid_grant, invalid_target, invalid_scope, unsupported_grant_type",
            429: "temporarily_unavailable",
        }
    ),
)
async def issue_token(request: CallerRequest, data: URLEncodedBody[GrantRequest]) -> GrantResponse:
    """Exchange a session token for a JWT that a backend verifies by itself (RFC 8693, RFC 9068)."""
    grant = GRANTS.get(data.grant_type)
    if grant is None:
        raise OAuthRefusal("unsupported_grant_type", f"grant_type must be {' or '.join(GRANTS)}")
    return await grant(request, data)


router = Router(
    "/oauth2",
    tags=["OAuth"],
    route_handlers=[issue_token],
    before_request=require_form,
    exception_handlers=OAUTH_EXCEPTION_HANDLERS,
)
