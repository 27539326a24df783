"""Dependencies of handlers: the use cases, and the caller of a request (token, address, user agent, mini-program)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv6Address, IPv6Network, ip_address
from math import ceil
from typing import Any

from litestar import Request
from litestar.datastructures import FormMultiDict, State
from litestar.di import NamedDependency, Provide
from litestar.exceptions import ClientException
from litestar.types import Scope

from application.client_data import ClientData
from application.login import LoginContext
from application.login_with_phone import LoginWithPhone
from application.own_data import OwnData
from application.readiness import Readiness
from application.scans import Scans
from application.session_keys import SessionKeys
from application.sessions import Sessions
from application.signed_tokens import SignedTokens
from application.user_sessions import UserSessions
from application.users import Users
from domain.device import Device
from domain.errors import RequestInvalid
from domain.event import Cause
from domain.rate_limit import Allowance
from domain.session import Session
from entrypoints.assertions import Assertions
from entrypoints.container import Container
from entrypoints.http.known_polls import KnownPolls
from entrypoints.http.raw import RawHeaders
from entrypoints.instrumented import InstrumentedLogin, SessionChecks

USER_AGENT_LENGTH = 256
ADDRESS_LENGTH = 45
"""The longest text of an IP address, in characters: an IPv4 address in an IPv6 one."""

REFERER = re.compile(r"https://servicewechat\.com/([A-Za-z0-9_-]{1,64})/")
"""The Referer that WeChat sends with each request of a mini-program. A client can forge it: it proves nothing."""


@dataclass
class Lifecycle:
    """Which stop has begun: of this server process, and of the whole service, which answers 503 on `/readyz`."""

    worker_stopping: bool = False
    service_stopping: bool = False


@dataclass(frozen=True)
class Runtime:
    """The objects that live as long as the application.

    `checks` and `assertions` are built once, because each /auth uses them. Without WXLOGIN_ASSERTION_AUDIENCE, there
    are no `assertions`.
    """

    container: Container
    lifecycle: Lifecycle
    checks: SessionChecks
    polls: KnownPolls
    assertions: Assertions | None = None


def runtime_of(state: State) -> Runtime:
    """Return the runtime of the application with this state."""
    return state.runtime  # type: ignore[no-any-return]  # app.state is untyped


class CallerRequest(Request[Any, Any, State]):
    """A request whose malformed body is a ClientException."""

    async def json(self) -> Any:
        """Return the decoded body. Raises ClientException for all that cannot be decoded."""
        try:
            return await super().json()
        except RecursionError:
            raise ClientException("The request's body is nested too deeply") from None
        except UnicodeDecodeError:
            raise ClientException("The request's body is not UTF-8") from None

    async def form(self) -> FormMultiDict:
        """Return the fields of the form. Raises ClientException for all that cannot be decoded."""
        try:
            return await super().form()
        except (LookupError, ValueError):  # an unknown charset, and text that is not of its charset
            raise ClientException("The request's form cannot be decoded") from None


def token_of(headers: RawHeaders) -> str:
    """Return the bearer token of the Authorization header (RFC 6750 section 2.1), or "" when there is none.

    Raises RequestInvalid when there are several such headers.
    """
    authorizations = [value for name, value in headers if name == b"authorization"]
    if len(authorizations) > 1:
        raise RequestInvalid("The request has several Authorization headers")
    scheme, _, token = authorizations[0].decode("latin-1").strip().partition(" ") if authorizations else ("", "", "")
    return token.strip() if scheme.lower() == "bearer" else ""


def provide_login(state: State) -> InstrumentedLogin:
    """Return the login use case."""
    return runtime_of(state).container.instrumented_login()


def provide_login_with_phone(state: State) -> LoginWithPhone:
    """Return the login that binds a phone number in the same call."""
    return runtime_of(state).container.login_with_phone()


def provide_own_data(state: State) -> OwnData:
    """Return the use cases of a user's own data."""
    return runtime_of(state).container.own_data()


def provide_sessions(state: State) -> Sessions:
    """Return the use cases of sessions."""
    return runtime_of(state).container.sessions()


def provide_user_sessions(state: State) -> UserSessions:
    """Return the use cases of all sessions of a user."""
    return runtime_of(state).container.user_sessions()


def provide_checks(state: State) -> SessionChecks:
    """Return the checks of sessions."""
    return runtime_of(state).checks


def provide_users(state: State) -> Users:
    """Return the use cases of users."""
    return runtime_of(state).container.users()


def provide_client_data(state: State) -> ClientData:
    """Return the use cases of client data."""
    return runtime_of(state).container.client_data()


def provide_session_keys(state: State) -> SessionKeys:
    """Return the use cases of session_keys."""
    return runtime_of(state).container.session_keys()


def provide_signed_tokens(state: State) -> SignedTokens:
    """Return the use cases of signed tokens."""
    return runtime_of(state).container.signed_tokens()


def provide_scans(state: State) -> Scans:
    """Return the use cases of scans."""
    return runtime_of(state).container.scans()


def provide_readiness(state: State) -> Readiness:
    """Return the readiness check."""
    return runtime_of(state).container.readiness()


async def provide_session(request: CallerRequest, checks: NamedDependency[SessionChecks]) -> Session:
    """Return the live session that the request's token opens. Raises as `token_of` and `Sessions.authenticate`."""
    return await checks.authenticate(token_of(request.scope["headers"]))


def header_of(scope: Scope, name: bytes) -> str:
    """Return the first header of that name, which is in lower case; "" when there is none."""
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")


def route_of(scope: Mapping[str, Any]) -> str:
    """Return the pattern of the route, because a path may contain anything, even a token."""
    return str(scope.get("path_template") or "no route")


def device_of(scope: Scope) -> Device:
    """Return the user agent and the IP address that a login comes from."""
    user_agent = header_of(scope, b"user-agent")[:USER_AGENT_LENGTH]
    return Device(user_agent or None, address_of(scope))


def address_of(scope: Scope) -> str | None:
    """Return the client's IP address; None if a proxy names something else, or the client uses a UNIX socket."""
    address = scope["client"][0] if scope["client"] else ""
    try:
        ip_address(address)
    except ValueError:
        return None
    return address if len(address) <= ADDRESS_LENGTH else None  # an IPv6 address may have a zone of any length


def cause_of(scope: Scope) -> Cause:
    """Return the user at the client's address as the cause of a change."""
    return Cause.user(address_of(scope))


async def take_login_quota(scope: Scope) -> dict[str, str]:
    """Take one login from the quota of the client, and return the RateLimit headers. Raises RateLimited."""
    network = network_of(scope)
    quota = runtime_of(scope["litestar_app"].state).container.login_quota()
    return rate_limit_headers(await quota.take(network) if network else None)


def rate_limit_headers(allowance: Allowance | None) -> dict[str, str]:
    """Return the RateLimit headers: draft-ietf-httpapi-ratelimit-headers-11, sections 3 and 4.

    The quota is restored evenly, so there is no window that ends. `t`, the seconds until the next request is admitted,
    is there only if nothing is left.
    """
    if allowance is None:
        return {}
    limit = allowance.limit
    until = "" if allowance.remaining else f";t={seconds(allowance.wait)}"
    return {
        "ratelimit-policy": f'"{limit.name}";q={limit.quota};w={seconds(limit.window)}',
        "ratelimit": f'"{limit.name}";r={allowance.remaining}{until}',
    }


def seconds(time: timedelta) -> str:
    """Return how long a client waits, in whole seconds, rounded up, and at least 1."""
    return str(max(ceil(time.total_seconds()), 1))


def network_of(scope: Scope) -> str | None:
    """Return the network that rate limits count as one client.

    This is the IPv4 address, or the /64 of an IPv6 address, in which a device chooses its addresses (RFC 8981).
    Returns "unknown" when a proxy gives no IP address, and None when the request came through a UNIX socket without a
    proxy that names its client.
    """
    if not scope["client"] or not scope["client"][0]:
        return None
    address = address_of(scope)
    return "unknown" if address is None else network_of_address(address)


def network_of_address(address: str) -> str:
    """Return the IPv4 address itself, or the /64 of an IPv6 address."""
    ip = ip_address(address)
    if isinstance(ip, IPv6Address):
        return str(ip.ipv4_mapped or IPv6Network((int(ip), 64), strict=False))
    return str(ip)


def login_context_of(scope: Scope) -> LoginContext:
    """Return the context of a login. Raises RequestInvalid as `token_of`."""
    referer = REFERER.match(header_of(scope, b"referer"))
    return LoginContext(device_of(scope), referer[1] if referer else None, token_of(scope["headers"]))


DEPENDENCIES = {
    "login": Provide(provide_login, sync_to_thread=False),
    "login_with_phone": Provide(provide_login_with_phone, sync_to_thread=False),
    "own_data": Provide(provide_own_data, sync_to_thread=False),
    "sessions": Provide(provide_sessions, sync_to_thread=False),
    "user_sessions": Provide(provide_user_sessions, sync_to_thread=False),
    "checks": Provide(provide_checks, sync_to_thread=False),
    "users": Provide(provide_users, sync_to_thread=False),
    "client_data": Provide(provide_client_data, sync_to_thread=False),
    "session_keys": Provide(provide_session_keys, sync_to_thread=False),
    "signed_tokens": Provide(provide_signed_tokens, sync_to_thread=False),
    "scans": Provide(provide_scans, sync_to_thread=False),
    "readiness": Provide(provide_readiness, sync_to_thread=False),
    "session": Provide(provide_session),
}
"""By the name of a handler's parameter."""
