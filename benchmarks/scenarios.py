"""The questions: what the check of a token costs, and what a login costs, of whom and with what WeChat."""

import http.client
import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass

from benchmarks.load import Load, Round
from benchmarks.loop import HOST
from benchmarks.servers import OTHER_CORES, ROOT, Server, environment, pin
from benchmarks.services import ARTICLE, FASTIFY, GENERATOR, GRANIAN, PATIENT_ARTICLE, WXLOGIN
from benchmarks.sessions import AUTH_USERS, token_of
from benchmarks.wechat import code_of, openid_of


@dataclass(frozen=True)
class Scenario:
    """What is asked, and of whom; the first service is what the others are measured by.

    Without `tokens`, `users` log in (none: always a new one), `slow` when WeChat takes 50 ms. `times` as many
    connections as elsewhere, where a server that waits is to have enough to do.
    """

    name: str
    services: tuple[str, ...]
    tokens: bool = False
    users: range = range(0)
    slow: bool = False
    times: int = 1


# So many users that hardly a login ends a session, which is what happens to the oldest when there are too many.
SCENARIOS = (
    Scenario("auth", (FASTIFY, WXLOGIN, GRANIAN, ARTICLE, GENERATOR), tokens=True),
    Scenario("login", (ARTICLE, WXLOGIN, GENERATOR), users=range(1500)),
    Scenario("login-50ms", (PATIENT_ARTICLE, WXLOGIN), users=range(1500, 3000), slow=True, times=8),
    Scenario("login-new", (ARTICLE, WXLOGIN)),
)


class AnswerError(Exception):
    """A service answered otherwise than the comparison assumes."""


def log_in(server: Server, users: range) -> list[str]:
    """Makes the users known to a service; a token of each."""
    connection = http.client.HTTPConnection(HOST, server.port, timeout=30)
    headers = {"Content-Type": "application/json"}
    tokens = []
    for user in users:
        connection.request("POST", "/login/", json.dumps({"code": code_of(user, time.time_ns())}), headers)
        response = connection.getresponse()
        body = response.read().decode(errors="replace")
        if response.status != http.client.OK or '"status":0' not in body:
            raise AnswerError(f"login answered {response.status} {body[:500]}")
        tokens.append(json.loads(body)["data"]["token"])
    connection.close()
    return tokens


def prepare(scenario: Scenario, server: Server) -> list[str]:
    """Makes those who log in returning users; the tokens to check, which are as they should be."""
    if server.name in (GRANIAN, GENERATOR):
        return [token_of(user) for user in AUTH_USERS]
    if scenario.tokens:
        tokens = [token_of(user) for user in AUTH_USERS] if server.name == FASTIFY else log_in(server, AUTH_USERS)
        check_tokens(server, tokens)
        return tokens
    log_in(server, scenario.users)
    return []


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


def play(load: Load) -> Round:
    """One round of one service, from a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load"],
        input=json.dumps(asdict(load)),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=load.seconds + 60,
        cwd=ROOT,
        env=environment(),
        start_new_session=True,
        preexec_fn=lambda: pin(OTHER_CORES),
    )
    return Round(**json.loads(done.stdout))
