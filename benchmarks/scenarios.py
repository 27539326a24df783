"""The two questions: what a login of a known user costs, and what the check of a token costs."""

import http.client
import json
import subprocess
import sys
import time
from dataclasses import asdict

from benchmarks.load import Load, Round
from benchmarks.loop import HOST
from benchmarks.servers import OTHER_CORES, ROOT, Server, environment, pin
from benchmarks.wechat import openid_of

LOGIN, AUTH = "login", "auth"
USERS = 200
# Users whose tokens are checked do not log in meanwhile: a new login may end an older session.
LOGIN_USERS, AUTH_USERS = range(USERS), range(USERS, 2 * USERS)


class AnswerError(Exception):
    """A service answered otherwise than the comparison assumes."""


def log_in(server: Server, users: range) -> list[str]:
    """Makes the users known to a service; a token of each."""
    connection = http.client.HTTPConnection(HOST, server.port, timeout=30)
    headers = {"Content-Type": "application/json"}
    tokens = []
    for user in users:
        connection.request("POST", "/login/", json.dumps({"code": f"u{user}-{time.time_ns()}"}), headers)
        response = connection.getresponse()
        body = response.read().decode(errors="replace")
        if response.status != http.client.OK or '"status":0' not in body:
            raise AnswerError(f"login answered {response.status} {body[:500]}")
        tokens.append(json.loads(body)["data"]["token"])
    connection.close()
    return tokens


def check_tokens(server: Server, tokens: list[str]) -> None:
    """A token names its own user, and one that was never given is refused."""
    for token, answer in (
        (tokens[0], (204, openid_of(AUTH_USERS[0]))),
        (tokens[-1], (204, openid_of(AUTH_USERS[-1]))),
        ("0" * len(tokens[0]), (401, None)),
    ):
        connection = http.client.HTTPConnection(HOST, server.port, timeout=30)
        connection.request("GET", "/auth", headers={"Authorization": f"Bearer {token}"})
        response = connection.getresponse()
        if (response.status, response.headers["X-WX-OPENID"]) != answer:
            raise AnswerError(f"/auth answered {response.status}, not {answer}")
        connection.close()


def play(scenario: str, server: Server, tokens: list[str], concurrency: int, seconds: float) -> Round:
    """One round of one service, from a process of its own."""
    load = Load(
        server.port,
        server.pid,
        concurrency,
        seconds,
        users=USERS,
        run=time.time_ns(),
        tokens=tokens if scenario == AUTH else [],
    )
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load"],
        input=json.dumps(asdict(load)),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=seconds + 60,
        cwd=ROOT,
        env=environment(),
        start_new_session=True,
        preexec_fn=lambda: pin(OTHER_CORES),
    )
    return Round(**json.loads(done.stdout))
