"""Many first logins of one person at once, on two processes and each database."""

import secrets
from concurrent.futures import ThreadPoolExecutor

from support.processes import Sandbox, environment, service

LOGINS = 80


def test_eighty_first_logins_of_one_openid_on_two_processes_make_one_user(sandbox: Sandbox, database_url: str) -> None:
    """However many phones log one openid in for the first time at once, it is one user and nobody sees an error."""
    openid = sandbox_openid()
    codes = [sandbox.code(openid=openid) for _ in range(LOGINS)]
    env = environment(database_url=database_url, wechat_url=sandbox.url, sessions_per_user="0")

    with service("--workers", "2", env=env) as running, ThreadPoolExecutor(LOGINS) as threads:
        users = [body["user"] for body in threads.map(running.log_in, codes)]

        assert len({user["id"] for user in users}) == 1
        assert sum(user["is_new"] for user in users) == 1


def sandbox_openid() -> str:
    """An openid that no other test uses."""
    return "o" + secrets.token_hex(13)
