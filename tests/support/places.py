"""Where contract tests keep users and sessions. A technology that is registered here is run by every suite."""

import pytest

from support.servers import find_mariadb

DATABASES = ["sqlite", "postgresql", *(["mariadb"] if find_mariadb() else [])]
REDIS = ["redis", "redis-cluster", "redis-sentinel"]

USER_PLACES = ["memory", *DATABASES]
SESSION_PLACES = ["memory", *REDIS, *DATABASES]

IN_REDIS = ["redis", "redis-cluster"]
"""The sentinels' master is a Redis like another: what is about records needs no third run."""

durable = pytest.mark.parametrize("session_place", [*IN_REDIS, *DATABASES], indirect=True)
durable_users = pytest.mark.parametrize("user_place", DATABASES, indirect=True)
in_redis = pytest.mark.parametrize("session_place", IN_REDIS, indirect=True)
on_every_redis = pytest.mark.parametrize("session_place", REDIS, indirect=True)
by_the_hosts_clock = pytest.mark.parametrize("session_place", ["memory", *DATABASES], indirect=True)
