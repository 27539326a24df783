"""The scenarios: the check of a token, and logins of different users with a fast or a slow WeChat."""

import http.client
import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass

from benchmarks.load import Load, Round
from benchmarks.loop import HOST
from benchmarks.servers import OTHER_CORES, ROOT, Server, environment, pin
from benchmarks.services import ARTICLE, ASSERTING, FASTIFY, GENERATOR, GRANIAN, PATIENT_ARTICLE, WXLOGIN
from benchmarks.sessions import AUTH_USERS, token_of
from benchmarks.wechat import code_of, openid_of


@dataclass(frozen=True)
class Scenario:
    """The requests and the services.

    The first service is the reference of the others. Without `tokens`, `users` log in (none: always a new user), and
    with `slow` WeChat takes 50 ms. `times` multiplies the number of connections, so that a server that waits has enough
    requests.
    """

    name: str
    services: tuple[str, ...]
    tokens: bool = False
    users: range = range(0)
    slow: bool = False
    times: int = 1


# There are so many users that a login rarely ends a session, as it does beyond the limit of sessions.
SCENARIOS = (
    Scenario("auth", (FASTIFY, WXLOGIN, GRANIAN, ARTICLE, GENERATOR), tokens=True),
    Scenario("auth-assertion", (WXLOGIN, ASSERTING), tokens=True),
    Scenario("login", (ARTICLE, WXLOGIN, GENERATOR), users=range(1500)),
    Scenario("login-50ms", (PATIENT_ARTICLE, WXLOGIN), users=range(1500, 3000), slow=True, times=8),
    Scenario("login-new", (ARTICLE, WXLOGIN)),
)


class AnswerError(Exception):
    """An answer that differs from the assumption of the comparison."""


def log_in(server: Server, users: range) -> list[str]:
    """Log the users in to a service, and return a token of each."""
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
    """Log the users of a scenario in once, and return the tokens to check, after a test of their answers."""
    if server.name in (GRANIAN, GENERATOR):
        return [token_of(user) for user in AUTH_USERS]
    if scenario.tokens:
        tokens = [token_of(user) for user in AUTH_USERS] if server.name == FASTIFY else log_in(server, AUTH_USERS)
        check_tokens(server, tokens)
        return tokens
    log_in(server, scenario.users)
    return []


def check_tokens(server: Server, tokens: list[str]) -> None:
    """Fail unless a token returns its own user and an unknown token is refused."""
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
    """Run one round of one service, from a separate process."""
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
