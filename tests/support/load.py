"""Load of clients that know the correct answer to each of their requests."""

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
"""The steps of a client:

POST /v1/sessions, GET /auth with a live or an ended token, GET the sessions, DELETE current.
"""

ROUND = (LOG_IN, CHECK, LOG_IN, CHECK_ENDED, LIST, CHECK, LOG_OUT)
KEPT, FEWEST = 12, 6
"""The number of live and of ended tokens that a client retains, and the number above which it logs one out."""

PAUSE_SECONDS = 0.003
"""The pause between two steps of a client, so that the service also answers the test's own requests."""

OUTAGES = {(503, "store_unavailable"), (503, "wechat_unavailable"), (502, "wechat_bad_answer")}

Verdict = Callable[[httpx2.Response], bool]


class Tally:
    """The answers to all clients. Times are monotonic seconds."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.requests = 0
        self.wrong: list[str] = []
        self.refused: Counter[tuple[str, int, str]] = Counter()
        """Temporary problems, by step, status and code."""
        self.broken: Counter[str] = Counter()
        """Connections that ended without an answer, by step."""
        self.good_at = dict.fromkeys(STEPS, self.began)
        self.slowest = 0.0
        """The longest wait for an answer, in seconds."""
        self.gaps = dict.fromkeys(STEPS, 0.0)
        """The longest time without a correct answer, by step, in seconds."""
        self._lock = threading.Lock()

    def count(self, step: str, began: float, answer: httpx2.Response | None, is_good: Verdict) -> None:
        """Count the answer of one request, or None, and whether it was correct."""
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
        """Return whether each step has succeeded since the moment."""
        return all(self.good_at[step] > moment for step in steps)


class Device(NamedTuple):
    """The user and the id of a token's session."""

    user: str
    session_id: str


class Client:
    """One client, which sends its requests in sequence, each over one of its connections, and repeats these `steps`.

    Its tokens and users belong to no other client, so it knows which sessions are live. After a log-out with an error
    this is not known, and the client drops the token.
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
        # several connections, which the system distributes over the service's processes
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
        """Take steps until the event is set."""
        while not over.is_set():
            self._does[next(self._steps)]()
            over.wait(PAUSE_SECONDS)

    def close(self) -> None:
        """Close the connections."""
        for connection in self._connections:
            connection.close()

    def log_in(self) -> None:
        """Log in with a code, and retain the token as live."""
        user = secrets.choice(self._users)
        code = self._sandbox.code(openid=user)
        answer = self._ask(LOG_IN, "POST", "/v1/sessions", _is(201), json={"code": code})
        if answer is not None and answer.status_code == 201:
            self.live[answer.json()["token"]] = Device(user, answer.json()["session"]["id"])

    def check(self) -> None:
        """Check that a live token is accepted."""
        if self.live:
            self._ask(CHECK, "GET", "/auth", _is(204), secrets.choice([*self.live]))

    def check_ended(self) -> None:
        """Check that an ended token is refused as ended."""
        if self.ended:
            self._ask(CHECK_ENDED, "GET", "/auth", _is(401, "session_ended"), secrets.choice(self.ended)[0])

    def list(self) -> None:
        """Check that the list of a user's sessions has the live ones and no ended one."""
        if self.live:
            token, device = secrets.choice([*self.live.items()])
            live = {other.session_id for other in self.live.values() if other.user == device.user}
            ended = {other.session_id for _, other in self.ended}
            self._ask(LIST, "GET", "/v1/sessions", _shows(device, live, ended), token)

    def log_out(self) -> None:
        """Log out all sessions beyond the maximum, and one if there are enough. Their tokens are ended from then on."""
        for _ in range(max(len(self.live) - KEPT, len(self.live) > FEWEST)):
            token, device = secrets.choice([*self.live.items()])
            del self.live[token]
            answer = self._ask(LOG_OUT, "DELETE", "/v1/sessions/current", _is(204), token)
            if answer is not None and answer.status_code == 204:
                self.ended.append((token, device))
                self._ask(CHECK_ENDED, "GET", "/auth", _is(401, "session_ended"), token)

    def verify(self) -> None:
        """Check every token on every connection: none of the answers may be an outage."""
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
    """Return the code of a problem that an outage may cause, with the retry advice of docs/errors.md, or else None."""
    if answer.headers.get("content-type") != "application/problem+json":
        return None
    problem = answer.json()
    told = (answer.status_code, problem["code"])
    way_out = "new_code" if brought_code else "later"
    comes_back = brought_code or int(answer.headers.get("retry-after", 0)) > 0
    return str(problem["code"]) if told in OUTAGES and problem["retry"] == way_out and comes_back else None


class Load:
    """Running clients, each in its own thread, and their answers."""

    def __init__(self, url: str, sandbox: Sandbox) -> None:
        self.tally = Tally()
        self.clients: list[Client] = []
        self._url = url
        self._sandbox = sandbox
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []

    def add(self, steps: Sequence[str] = ROUND, live: Sequence[str] = (), ended: Sequence[str] = ()) -> Client:
        """Start one more client, with the given known tokens."""
        client = Client(self.tally, self._url, self._sandbox, steps, live, ended)
        thread = threading.Thread(target=client.work, args=[self._over])
        self.clients.append(client)
        self._threads.append(thread)
        thread.start()
        return client

    def stop(self) -> None:
        """Stop all clients after their last answers."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def verify(self) -> None:
        """Stop all clients, and check every token that they retain."""
        self.stop()
        for client in self.clients:
            client.verify()

    def close(self) -> None:
        """Stop all clients, and close their connections."""
        self.stop()
        for client in self.clients:
            client.close()


@contextmanager
def load(url: str, sandbox: Sandbox, clients: int = 0) -> Iterator[Load]:
    """Run so many clients, which take all steps, until the block ends."""
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
