"""URLs of Redis servers."""

import pytest
from redis.asyncio.connection import SSLConnection

from adapters.redis.urls import RedisUrl

SERVER = {"host": "h1", "port": 1}


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("redis://h1:1", RedisUrl("", [SERVER])),
        ("redis://h1:1/2", RedisUrl("", [{**SERVER, "db": 2}])),
        ("redis+cluster://h1:1,h2", RedisUrl("cluster", [SERVER, {"host": "h2"}])),
        ("redis+sentinel://h1:1/m", RedisUrl("sentinel", [SERVER], "m")),
        ("redis+sentinel://h1:1/m/2", RedisUrl("sentinel", [{**SERVER, "db": 2}], "m")),
        ("redis+sentinel://h1:1/my%2Fm", RedisUrl("sentinel", [SERVER], "my/m")),
        ("redis+cluster://[::1]:1,h1:1", RedisUrl("cluster", [{"host": "::1", "port": 1}, SERVER])),
        ("rediss+cluster://h1:1", RedisUrl("cluster", [{**SERVER, "connection_class": SSLConnection}])),
    ],
)
def test_a_url_names_servers(url: str, place: RedisUrl) -> None:
    """Each kind of URL is parsed into its servers, its master and its options."""
    assert RedisUrl.of(url) == place


@pytest.mark.parametrize(
    "start", ["redis://{}@h1:1", "redis+cluster://{}@h1:1,h2:2", "redis+sentinel://{}@h1:1,h2:2/m"]
)
@pytest.mark.parametrize("password", ["p", "p,a@s", "%2F%40%3A"])
def test_all_servers_have_the_password(start: str, password: str) -> None:
    """The user and the password before the first host apply to all servers, and no repr shows them."""
    place = RedisUrl.of(start.format(f"ann:{password}"))

    assert {server["username"] for server in place.servers} == {"ann"}
    assert {server["password"] for server in place.servers} <= {password, "/@:"}
    assert "ann" not in repr(place)


def test_options_apply_to_all_servers() -> None:
    """The options after the question mark apply to all servers."""
    place = RedisUrl.of("redis+sentinel://h1:1,h2:2/m?socket_timeout=0.5&sentinel_password=s")

    assert [(each["socket_timeout"], each["sentinel_password"]) for each in place.servers] == [(0.5, "s")] * 2
