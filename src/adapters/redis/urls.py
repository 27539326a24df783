"""The URLs of Redis. `rediss` instead of `redis` means TLS.

redis://[user:password@]host[:port][/database][?options]
redis+cluster://[user:password@]host[:port],host[:port][?options]
redis+sentinel://[user:password@]host[:port],host[:port]/master[/database][?options]
"""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from redis.asyncio.connection import parse_url

Options = dict[str, Any]
"""Options of a connection, by redis-py's names. A URL may have some: `ssl_ca_certs`, `socket_timeout`."""


@dataclass(frozen=True)
class RedisUrl:
    """The addresses in a URL: one server, some nodes of a cluster, or the sentinels of a master."""

    kind: str
    servers: list[Options] = field(repr=False)
    master: str = ""

    @classmethod
    def of(cls, url: str) -> "RedisUrl":
        """Parse a URL. Raises ValueError."""
        parts = urlsplit(url)
        scheme, _, kind = parts.scheme.partition("+")
        user, at, hosts = parts.netloc.rpartition("@")
        master, _, database = parts.path[1:].partition("/") if kind == "sentinel" else ("", "", parts.path[1:])
        servers = [f"{scheme}://{user}{at}{host}/{database}?{parts.query}" for host in hosts.split(",")]
        return cls(kind, [dict(parse_url(server)) for server in servers], unquote(master))
