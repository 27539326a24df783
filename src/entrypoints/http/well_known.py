"""/.well-known: what a backend needs to verify signed tokens by itself."""

import msgspec
from litestar import Response, Router, get
from litestar.datastructures import State

from domain.errors import NotFound
from entrypoints.http.contract import problems
from entrypoints.http.dependencies import runtime_of
from entrypoints.http.oauth_token import GRANTS, TOKEN_EXCHANGE

MAX_AGE = {"cache-control": "max-age=300"}
"""The time for which a backend may cache the keys. The rotation of keys in docs/operations.md waits for it."""

BASIC = ["client_secret_basic"]


class KeySet(msgspec.Struct, frozen=True):
    """The public keys (RFC 7517 section 5). The first signs."""

    keys: list[dict[str, str]]


class ServerMetadata(msgspec.Struct, frozen=True, omit_defaults=True):
    """The metadata of RFC 8414. There is no authorization endpoint, so there are no response types."""

    issuer: str
    token_endpoint: str
    introspection_endpoint: str
    revocation_endpoint: str
    device_authorization_endpoint: str
    response_types_supported: list[str]
    grant_types_supported: list[str]
    token_endpoint_auth_methods_supported: list[str]
    introspection_endpoint_auth_methods_supported: list[str]
    revocation_endpoint_auth_methods_supported: list[str]
    jwks_uri: str | None = None


@get("/jwks.json", sync_to_thread=False, responses=problems(NotFound))
def show_keys(state: State) -> Response[KeySet]:
    """Return the public keys of WXLOGIN_SIGNING_KEYS; 404 without one."""
    keys = runtime_of(state).container.token_signer().public_keys()
    if not keys:
        raise NotFound("This service signs no tokens: it has no WXLOGIN_SIGNING_KEYS")
    return Response(KeySet([dict(key) for key in keys]), headers=MAX_AGE)


@get("/oauth-authorization-server", sync_to_thread=False, responses=problems(NotFound))
def show_metadata(state: State) -> Response[ServerMetadata]:
    """Return the metadata of the authorization server; 404 without WXLOGIN_ISSUER."""
    settings = runtime_of(state).container.settings()
    issuer, signs = settings.issuer, bool(settings.signing_keys)
    if issuer is None:
        raise NotFound("This service has no public name: it has no WXLOGIN_ISSUER")
    metadata = ServerMetadata(
        issuer=issuer,
        token_endpoint=f"{issuer}/oauth2/token",
        introspection_endpoint=f"{issuer}/oauth2/introspect",
        revocation_endpoint=f"{issuer}/oauth2/revoke",
        device_authorization_endpoint=f"{issuer}/oauth2/device_authorization",
        response_types_supported=[],
        grant_types_supported=[grant for grant in GRANTS if signs or grant != TOKEN_EXCHANGE],
        token_endpoint_auth_methods_supported=["none", *BASIC],
        introspection_endpoint_auth_methods_supported=BASIC,
        revocation_endpoint_auth_methods_supported=BASIC,
        jwks_uri=f"{issuer}/.well-known/jwks.json" if signs else None,
    )
    return Response(metadata, headers=MAX_AGE)


router = Router("/.well-known", tags=["OAuth"], route_handlers=[show_keys, show_metadata])
