"""Who is calling, as far as a request tells."""

import re
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Any

from litestar import Request
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.exceptions import ClientException
from litestar.types import Scope

from application.rate_limits import LoginQuota
from application.sessions import Sessions
from domain.errors import RequestInvalid
from domain.session import Client, Session
from entrypoints.http.raw import header_of
from entrypoints.problems import rate_limit_headers

USER_AGENT_LENGTH = 256
ADDRESS_LENGTH = 45
"""The longest text of an IP address, in characters: an IPv4 address in an IPv6 one."""

REFERER = re.compile(r"https://servicewechat\.com/([A-Za-z0-9_-]{1,64})/")
"""What WeChat sends with every request of a mini-program: a hint at the app, never proof."""


class CallerRequest(Request[Any, Any, State]):
    """A request whose body may be anything."""

    async def json(self) -> Any:
        """The decoded body. Raises ClientException, for what the decoder does not call its own error too."""
        try:
            return await super().json()
        except RecursionError:
            raise ClientException("The request's body is nested too deeply") from None
        except UnicodeDecodeError:
            raise ClientException("The request's body is not UTF-8") from None


def bearer_token(authorizations: list[str]) -> str:
    """The token of the Authorization headers, or "" when there is none. Raises RequestInvalid if there are several."""
    if len(authorizations) > 1:
        raise RequestInvalid("The request has several Authorization headers")
    scheme, _, token = authorizations[0].strip().partition(" ") if authorizations else ("", "", "")
    return token.strip() if scheme.lower() == "bearer" else ""


async def provide_session(request: CallerRequest, sessions: NamedDependency[Sessions]) -> Session:
    """The live session that the request's token opens."""
    return await sessions.authenticate(bearer_token(request.headers.getall("authorization", [])))


def token_of(scope: Scope) -> str:
    """Return the token that a request carries; "" when it carries none. Raises as `bearer_token`."""
    return bearer_token([value.decode("latin-1") for name, value in scope["headers"] if name == b"authorization"])


def client_of(scope: Scope) -> Client:
    """The device of a login."""
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
    """Count a login of the caller's address, and say in headers what it has left.

    Raises RateLimited, and RequestInvalid for a request with several Authorization headers.
    """
    bearer_token([value.decode("latin-1") for name, value in scope["headers"] if name == b"authorization"])
    quota: LoginQuota = scope["litestar_app"].state.container.login_quota()
    network = counted_as(scope)
    return rate_limit_headers(await quota.take(network) if network else None)


def counted_as(scope: Scope) -> str | None:
    """Return what limits take for one client: its network, or "unknown" for all whom a proxy gives no IP address.

    None: the request came through a UNIX socket without a proxy that names its client.
    """
    if not scope["client"] or not scope["client"][0]:
        return None
    return network_of(address_of(scope) or "unknown")


def network_of(address: str) -> str:
    """What counts as one address: of IPv6 the /64, in which a device takes what addresses it likes (RFC 8981)."""
    try:
        ip = ip_address(address)
    except ValueError:
        return address
    if isinstance(ip, IPv6Address):
        return str(ip.ipv4_mapped or IPv6Network((int(ip), 64), strict=False))
    return str(ip)


def hinted_appid(scope: Scope) -> str | None:
    """The appid in a mini-program's Referer."""
    match = REFERER.match(header_of(scope, b"referer"))
    return match[1] if match else None
