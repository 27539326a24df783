"""Clients that notice each lost request while a service restarts."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import httpx2

from support.raw_http import request

LONGEST_SECONDS = 2.0
"""The longest time that a client may wait for an answer during a restart."""

LOST_SECONDS = 10.0
"""The time after which an answer counts as lost."""

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Habit(NamedTuple):
    """The behavior of a client: whether it reuses its connection, and its pause between requests."""

    keep_alive: bool
    pause: float


HABITS = [*[Habit(True, 0.005)] * 4, *[Habit(False, 0.005)] * 4, *[Habit(True, 0.2)] * 16]


class Clients:
    """The answers to the clients of one address."""

    def __init__(self, url: str, requests: list[tuple[bytes, bytes]]) -> None:
        self.answered = 0
        self.refused = 0
        """Refused connections. A request that was not sent is not lost."""
        self.lost: Counter[str] = Counter()
        self.wrong: Counter[bytes] = Counter()
        self.slowest = 0.0
        self._host, self._port = httpx2.URL(url).host, httpx2.URL(url).port or 80
        self._requests = requests
        self._over = False

    async def work(self) -> None:
        """Send requests until the clients are stopped."""
        async with asyncio.TaskGroup() as group:
            for habit in HABITS:
                group.create_task(self._client(habit))

    def has_answered(self, count: int) -> bool:
        """Return whether there were more than `count` answers."""
        return self.answered > count

    def stop(self) -> None:
        """Let each client get its last answer, and send no more requests."""
        self._over = True

    async def _client(self, habit: Habit) -> None:
        stream: Stream | None = None
        turn = 0
        while not self._over:
            if stream is None:
                stream = await self._connect()
            if stream is not None:
                turn += 1
                kept = await self._ask(stream, *self._requests[turn % len(self._requests)])
                await asyncio.sleep(habit.pause)
                if not (kept and habit.keep_alive) or stream[0].at_eof() or self._over:
                    stream[1].transport.abort()
                    stream = None
            else:
                await asyncio.sleep(0.01)

    async def _connect(self) -> Stream | None:
        began = time.monotonic()
        try:
            return await asyncio.open_connection(self._host, self._port)
        except ConnectionError:
            self.refused += 1
            return None
        finally:
            self.slowest = max(self.slowest, time.monotonic() - began)

    async def _ask(self, stream: Stream, asked: bytes, expected: bytes) -> bool:
        """Send a request and read its answer. Return whether the connection may be used again."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(LOST_SECONDS):
                stream[1].write(asked)
                head = (await stream[0].readuntil(b"\r\n\r\n")).lower()
                await stream[0].readexactly(_length(head))
        except (ConnectionError, asyncio.IncompleteReadError, TimeoutError) as error:
            self.lost[f"{type(error).__name__} of {asked[:16]!r}"] += 1
            return False
        self.slowest = max(self.slowest, time.monotonic() - began)
        if head.startswith(expected):
            self.answered += 1
        else:
            self.wrong[asked[:16] + head.partition(b"\r\n")[0]] += 1
        return b"connection: close" not in head


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


@contextmanager
def clients(url: str, *requests: tuple[bytes, bytes]) -> Iterator[Clients]:
    """Run clients that send these requests in turn until the block ends.

    Each request has the expected start of its answer.
    """
    started = Clients(url, list(requests))
    thread = threading.Thread(target=lambda: asyncio.run(started.work()))
    thread.start()
    try:
        yield started
    finally:
        started.stop()
        thread.join()


def check(token: str, path: str = "/auth", expected: bytes = b"http/1.1 204") -> tuple[bytes, bytes]:
    """Return a request with a live token, and the expected answer."""
    return request(path, f"Authorization: Bearer {token}"), expected


def login() -> tuple[bytes, bytes]:
    """Return a login with an unknown code, and the expected answer. It is a POST, which no gateway may send twice."""
    return request("/login/", "Content-Type: application/json", method="POST", body=b'{"code":"x"}'), b"http/1.1 200"


def assert_none_lost(seen: Clients) -> None:
    """Fail if a request was lost or answered wrongly, or if a client waited for too long."""
    assert not seen.lost, f"lost {dict(seen.lost)} of {seen.answered}"
    assert not seen.wrong, f"wrong {dict(seen.wrong)} of {seen.answered}"
    assert seen.answered > 0
    assert seen.slowest < LONGEST_SECONDS, f"someone waited {seen.slowest:.1f} seconds"
