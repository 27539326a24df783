"""Load that knows the right answer to every request it sends."""

import secrets
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import cycle
from typing import Any, NamedTuple

import httpx2

from support import plain_http
from support.processes import Sandbox

LOG_IN, CHECK, CHECK_ENDED, LIST, LOG_OUT = STEPS = ("log in", "check", "check ended", "list", "log out")
"""What a client does: POST /v1/sessions; GET /auth with a token that is live, or ended; the devices; DELETE current."""

ROUND = (LOG_IN, CHECK, LOG_IN, CHECK_ENDED, LIST, CHECK, LOG_OUT)
KEPT, FEWEST = 24, 12
"""How many tokens a client remembers of those that are live, and of those that ended; of how many it logs one out."""

PAUSE_SECONDS = 0.003
"""Between two steps of a client, so that those who test something else beside it are served, too."""

OUTAGES = {(503, "store_unavailable"), (503, "wechat_unavailable"), (502, "wechat_bad_answer")}

Verdict = Callable[[httpx2.Response], bool]


class Tally:
    """What clients were answered. A time is a monotonic second."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.requests = 0
        self.wrong: list[str] = []
        self.refused: Counter[tuple[str, int, str]] = Counter()
        """By step, status and code: problems that a client can act on."""
        self.broken: Counter[str] = Counter()
        """By step: connections that ended without an answer."""
        self.good_at = dict.fromkeys(STEPS, self.began)
        self.slowest = 0.0
        """The longest that anybody waited for an answer, in seconds."""
        self.gaps = dict.fromkeys(STEPS, 0.0)
        """By step, the longest time without a good answer to anybody, in seconds."""
        self._lock = threading.Lock()

    def count(self, step: str, began: float, answer: httpx2.Response | None, is_good: Verdict) -> None:
        """One request's answer, or None, and whether it was the right one."""
        now = time.monotonic()
        with self._lock:
            self.requests += 1
            self.slowest = max(self.slowest, now - began)
            if answer is None:
                self.broken[step] += 1
            elif is_good(answer):
                self.gaps[step] = max(self.gaps[step], now - self.good_at[step])
                self.good_at[step] = now
            elif code := temporary_problem(answer, brought_code=step == LOG_IN):
                self.refused[step, answer.status_code, code] += 1
            else:
                self.wrong.append(f"{step}: {answer.status_code} {answer.text}")

    def all_good_since(self, moment: float, steps: Sequence[str] = STEPS) -> bool:
        """Whether each step has succeeded since."""
        return all(self.good_at[step] > moment for step in steps)


class Device(NamedTuple):
    """Whose session a token opens, and its public name."""

    user: str
    session_id: str


class Client:
    """One client, which sends one request after the other, each over one of its connections, and takes these `steps`.

    Nobody else has its tokens and its users. So it knows of each token whether its session is live, until a log-out is
    answered with an error: that may have happened or not, and the token is given up.
    """

    def __init__(
        self,
        tally: Tally,
        url: str,
        sandbox: Sandbox,
        steps: Sequence[str],
        live: Sequence[str] = (),
        ended: Sequence[str] = (),
    ) -> None:
        self.live = dict.fromkeys(live, Device("", ""))
        self.ended = deque(dict.fromkeys(ended, Device("", "")).items(), maxlen=KEPT)
        self._tally = tally
        self._sandbox = sandbox
        self._steps = cycle(steps)
        # connections of their own, which the system spreads over the service's processes
        self._connections = [plain_http.client(base_url=url) for _ in range(4)]
        self._users = [f"o{secrets.randbits(100):028x}" for _ in range(3)]
        self._does = {
            LOG_IN: self.log_in,
            CHECK: self.check,
            CHECK_ENDED: self.check_ended,
            LIST: self.list,
            LOG_OUT: self.log_out,
        }

    def work(self, over: threading.Event) -> None:
        """Take steps until it is over."""
        while not over.is_set():
            self._does[next(self._steps)]()
            over.wait(PAUSE_SECONDS)

    def close(self) -> None:
        """Hang up."""
        for connection in self._connections:
            connection.close()

    def log_in(self) -> None:
        """Log in with a code; the token opens the session from now on."""
        user = secrets.choice(self._users)
        code = self._sandbox.code(openid=user)
        answer = self._ask(LOG_IN, "POST", "/v1/sessions", _is(201), json={"code": code})
        if answer is not None and answer.status_code == 201:
            self.live[answer.json()["token"]] = Device(user, answer.json()["session"]["id"])

    def check(self) -> None:
        """A live token is admitted."""
        if self.live:
            self._ask(CHECK, "GET", "/auth", _is(204), secrets.choice([*self.live]))

    def check_ended(self) -> None:
        """An ended token is told so."""
        if self.ended:
            self._ask(CHECK_ENDED, "GET", "/auth", _is(401, "session_ended"), secrets.choice(self.ended)[0])

    def list(self) -> None:
        """A user's devices are those that are logged in, and those of which nobody knows."""
        if self.live:
            token, device = secrets.choice([*self.live.items()])
            live = {other.session_id for other in self.live.values() if other.user == device.user}
            ended = {other.session_id for _, other in self.ended}
            self._ask(LIST, "GET", "/v1/sessions", _shows(device, live, ended), token)

    def log_out(self) -> None:
        """Log out what is too many, and one if there are enough; those tokens open nothing from now on."""
        for _ in range(max(len(self.live) - KEPT, len(self.live) > FEWEST)):
            token, device = secrets.choice([*self.live.items()])
            del self.live[token]
            answer = self._ask(LOG_OUT, "DELETE", "/v1/sessions/current", _is(204), token)
            if answer is not None and answer.status_code == 204:
                self.ended.append((token, device))
                self._ask(CHECK_ENDED, "GET", "/auth", _is(401, "session_ended"), token)

    def verify(self) -> None:
        """Every token is what it should be on every connection, and no answer is a problem any more."""
        for connection in self._connections:
            for held, verdict in (([*self.live.items()], _is(204)), (self.ended, _is(401, "session_ended"))):
                for token, _ in held:
                    answer = connection.get("/auth", headers=_bearer(token))
                    if not verdict(answer):
                        self._tally.wrong.append(f"afterwards: {answer.status_code} {answer.text}")

    def _ask(
        self, step: str, method: str, path: str, is_good: Verdict, token: str = "", **more: Any
    ) -> httpx2.Response | None:
        connection = secrets.choice(self._connections)
        answer, began = None, time.monotonic()
        with suppress(httpx2.TransportError):
            answer = connection.request(method, path, headers=_bearer(token) if token else {}, **more)
        self._tally.count(step, began, answer, is_good)
        return answer


def temporary_problem(answer: httpx2.Response, *, brought_code: bool) -> str | None:
    """The code of a problem that an outage may cause, with the way out that docs/errors.md promises; else None."""
    if answer.headers.get("content-type") != "application/problem+json":
        return None
    problem = answer.json()
    told = (answer.status_code, problem["code"])
    way_out = "new_code" if brought_code else "later"
    comes_back = brought_code or int(answer.headers.get("retry-after", 0)) > 0
    return str(problem["code"]) if told in OUTAGES and problem["retry"] == way_out and comes_back else None


class Load:
    """Clients at work, each in a thread of its own, and what they were answered."""

    def __init__(self, url: str, sandbox: Sandbox) -> None:
        self.tally = Tally()
        self.clients: list[Client] = []
        self._url = url
        self._sandbox = sandbox
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []

    def add(self, steps: Sequence[str] = ROUND, live: Sequence[str] = (), ended: Sequence[str] = ()) -> Client:
        """One more client, with tokens that it is to know."""
        client = Client(self.tally, self._url, self._sandbox, steps, live, ended)
        thread = threading.Thread(target=client.work, args=[self._over])
        self.clients.append(client)
        self._threads.append(thread)
        thread.start()
        return client

    def stop(self) -> None:
        """Return when the last answer is there."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def verify(self) -> None:
        """Stop, and look at every token that was handed out and not given up."""
        self.stop()
        for client in self.clients:
            client.verify()

    def close(self) -> None:
        """Stop, and hang up."""
        self.stop()
        for client in self.clients:
            client.close()


@contextmanager
def load(url: str, sandbox: Sandbox, clients: int = 0) -> Iterator[Load]:
    """So many clients that take all steps, for as long as the block lasts."""
    started = Load(url, sandbox)
    try:
        for _ in range(clients):
            started.add()
        yield started
    finally:
        started.close()


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _is(status: int, code: str | None = None) -> Verdict:
    return lambda answer: answer.status_code == status and (code is None or answer.json()["code"] == code)


def _shows(device: Device, live: set[str], ended: set[str]) -> Verdict:
    def is_good(answer: httpx2.Response) -> bool:
        if answer.status_code != 200:
            return False
        current = {each["id"]: each["current"] for each in answer.json()["sessions"]}
        return live <= current.keys() and not ended & current.keys() and current[device.session_id]

    return is_good
