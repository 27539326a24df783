"""The caller of a request: its token, address, user agent and mini-program."""

import re
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Any

from litestar import Request
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.exceptions import ClientException
from litestar.types import Scope

from application.rate_limits import LoginQuota
from domain.errors import RequestInvalid
from domain.session import Client, Session
from entrypoints.http.raw import RawHeaders, header_of
from entrypoints.instrumented import InstrumentedSessions
from entrypoints.problems import rate_limit_headers

USER_AGENT_LENGTH = 256
ADDRESS_LENGTH = 45
"""The longest text of an IP address, in characters: an IPv4 address in an IPv6 one."""

REFERER = re.compile(r"https://servicewechat\.com/([A-Za-z0-9_-]{1,64})/")
"""What WeChat sends with every request of a mini-program: a hint at the app, never proof."""


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


def token_of(headers: RawHeaders) -> str:
    """Return the bearer token of the Authorization header (RFC 6750 section 2.1), or "" when there is none.

    Raises RequestInvalid when there are several such headers.
    """
    authorizations = [value for name, value in headers if name == b"authorization"]
    if len(authorizations) > 1:
        raise RequestInvalid("The request has several Authorization headers")
    scheme, _, token = authorizations[0].decode("latin-1").strip().partition(" ") if authorizations else ("", "", "")
    return token.strip() if scheme.lower() == "bearer" else ""


async def provide_session(request: CallerRequest, sessions: NamedDependency[InstrumentedSessions]) -> Session:
    """Return the live session that the request's token opens. Raises as `token_of` and `Sessions.authenticate`."""
    return await sessions.authenticate(token_of(request.scope["headers"]))


def client_of(scope: Scope) -> Client:
    """Return the user agent and the IP address that a login comes from."""
    user_agent = header_of(scope, b"user-agent")[:USER_AGENT_LENGTH]
    return Client(user_agent or None, address_of(scope))


def address_of(scope: Scope) -> str | None:
    """Return the client's IP address; None when a proxy names something else, or it came through a UNIX socket."""
    address = scope["client"][0] if scope["client"] else ""
    try:
        ip_address(address)
    except ValueError:
        return None
    return address if len(address) <= ADDRESS_LENGTH else None  # an IPv6 address may have a zone of any length


async def admit(scope: Scope) -> dict[str, str]:
    """Count a login against the limit of its client, and return the RateLimit headers. Raises RateLimited."""
    quota: LoginQuota = scope["litestar_app"].state.container.login_quota()
    network = network_of(scope)
    return rate_limit_headers(await quota.take(network) if network else None)


def network_of(scope: Scope) -> str | None:
    """Return the network that rate limits count as one client.

    This is the IPv4 address, or the /64 of an IPv6 address, in which a device chooses its addresses (RFC 8981).
    Returns "unknown" when a proxy gives no IP address, and None when the request came through a UNIX socket without a
    proxy that names its client.
    """
    if not scope["client"] or not scope["client"][0]:
        return None
    address = address_of(scope)
    if address is None:
        return "unknown"
    ip = ip_address(address)
    if isinstance(ip, IPv6Address):
        return str(ip.ipv4_mapped or IPv6Network((int(ip), 64), strict=False))
    return str(ip)


def hinted_appid(scope: Scope) -> str | None:
    """Return the appid in a mini-program's Referer, or None."""
    match = REFERER.match(header_of(scope, b"referer"))
    return match[1] if match else None
