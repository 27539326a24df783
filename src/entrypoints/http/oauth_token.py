"""POST /oauth2/token: one function for each grant."""

from collections.abc import Awaitable, Callable

from litestar import post
from litestar.params import URLEncodedBody

from domain.device_grant import DeviceCode, PollRefusal
from domain.errors import RequestInvalid
from entrypoints.http.dependencies import CallerRequest, address_of, runtime_of
from entrypoints.http.oauth import oauth_router, provide_client
from entrypoints.http.oauth_errors import ErrorCode, OAuthRefusal, refusals
from entrypoints.http.polls import ERRORS
from entrypoints.log import log_session
from entrypoints.responses import SecretStruct

DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105  # RFC 8693's word
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105  # RFC 8693's word


class GrantRequest(SecretStruct, frozen=True):
    """The parameters of all grants. One without a value counts as absent (RFC 6749 section 3.2)."""

    grant_type: str
    device_code: str = ""
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
    """Return a signed token for the session token (RFC 8693). The session token is the only credential it needs."""
    runtime = runtime_of(request.app.state)
    if not runtime.container.settings().signing_keys:
        raise OAuthRefusal("unsupported_grant_type", "This service signs no tokens")
    _require_exchange(grant)
    signed_tokens = runtime.container.signed_tokens()
    try:
        signed_tokens.require_audience(grant.audience)
    except RequestInvalid as error:
        raise OAuthRefusal("invalid_target", error.detail) from None
    session = await runtime.checks.authenticate(grant.subject_token)
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


async def redeem_device_code(request: CallerRequest, grant: GrantRequest) -> GrantResponse:
    """Return the session token of an approved scan, once, to the client that started it (RFC 8628 section 3.4)."""
    client = await provide_client(request, request.app.state)
    if not grant.device_code:
        raise OAuthRefusal("invalid_request", "device_code is missing")
    code = DeviceCode.parse(grant.device_code)
    if code is None:
        raise _refusal(PollRefusal.INVALID_GRANT)
    runtime = runtime_of(request.app.state)
    scans = runtime.container.scans()
    if refused := scans.refuse_from_memory(client.id, code):
        raise _refusal(refused)
    redeemed = await scans.redeem(client.id, code)
    if isinstance(redeemed, PollRefusal):
        if redeemed.is_pending:
            runtime.polls.remember(request.scope["headers"], await request.body(), client.id, code)
        raise _refusal(redeemed)
    session = redeemed.session
    log_session("scan_redeemed", session, client=client.id, ip=session.device.ip)
    lifetime = session.idle_expires_at - session.created_at
    return GrantResponse(redeemed.token.value, "Bearer", int(lifetime.total_seconds()))


def _refusal(refused: PollRefusal) -> OAuthRefusal:
    error = ERRORS[refused]
    return OAuthRefusal(error.error, error.error_description, scanned=error.scanned)


GRANTS: dict[str, Grant] = {DEVICE_CODE: redeem_device_code, TOKEN_EXCHANGE: exchange_token}
"""By the value of `grant_type`. Each authenticates its client, if it needs one."""


@post(
    "/token",
    status_code=200,
    responses=refusals(
        {
            400: "invalid_request, invalid_grant, invalid_target, invalid_scope, unsupported_grant_type, "
            "authorization_pending, slow_down, access_denied, expired_token",
            401: "invalid_client",
            429: "invalid_client, temporarily_unavailable",
        }
    ),
)
async def issue_token(request: CallerRequest, data: URLEncodedBody[GrantRequest]) -> GrantResponse:
    """Return a token by `grant_type`.

    `urn:ietf:params:oauth:grant-type:device_code` returns the session token of a scan that its user approved, to the
    client that started it (RFC 8628). `urn:ietf:params:oauth:grant-type:token-exchange` returns a JWT for a session
    token, which a backend verifies by itself, and needs no client (RFC 8693, RFC 9068).
    """
    grant = GRANTS.get(data.grant_type)
    if grant is None:
        raise OAuthRefusal("unsupported_grant_type", f"grant_type must be {' or '.join(GRANTS)}")
    return await grant(request, data)


router = oauth_router(issue_token)
