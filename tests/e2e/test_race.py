"""Concurrent first logins of one user, on two processes and each database."""

import secrets
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle

from adapters.sql.async_pool import MAX_CONNECTIONS
from support.processes import Sandbox, environment, service

LOGINS = 80
AT_ONCE = 2 * MAX_CONNECTIONS
"""As many concurrent logins as there are connections. On a busy machine, more logins would wait too long for one."""


def test_eighty_first_logins_of_one_openid_on_two_processes_make_one_user(sandbox: Sandbox, database_url: str) -> None:
    """Eighty concurrent first logins of one openid on two processes all succeed and create one user."""
    openid = sandbox_openid()
    codes = [sandbox.code(openid=openid) for _ in range(LOGINS)]
    env = environment(database_url=database_url, wechat_url=sandbox.url, sessions_per_user="0")

    with service(env=env) as one, service(env=env) as other, ThreadPoolExecutor(AT_ONCE) as threads:
        logins = threads.map(lambda running, code: running.log_in(code), cycle([one, other]), codes)
        users = [login["user"] for login in logins]

        assert len({user["id"] for user in users}) == 1
        assert sum(user["is_new"] for user in users) == 1


def sandbox_openid() -> str:
    """Return an openid that no other test uses."""
    return "o" + secrets.token_hex(13)
