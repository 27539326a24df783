"""The load generator, a separate process: it reads one `Load` as JSON from stdin and writes one `Round` to stdout.

Every connection stays open and always has one open request. Requests are prepared as bytes, or formatted with one `%`,
and of an answer only the length is read. The generator is therefore so cheap that it does not affect the measurement.
"""

import asyncio
import itertools
import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter, process_time, time_ns

from benchmarks.loop import HOST, run
from benchmarks.wechat import code_of

WARM_UP_SECONDS = 0.3
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
AUTH = b"GET /auth HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\n\r\n"
LOGIN = (
    b"POST /login/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    b'Content-Length: 43\r\n\r\n{"code":"%s"}'
)


@dataclass(frozen=True)
class Load:
    """The requests and their server.

    With `tokens` these are checked. Otherwise `users` log in in turn (none: always a new user), and `slow` makes WeChat
    slow.
    """

    port: int
    server_pid: int
    concurrency: int
    seconds: float
    users: list[int] = field(default_factory=list)
    slow: bool = False
    tokens: list[str] = field(default_factory=list)

    def requests(self) -> Iterator[bytes]:
        if self.tokens:
            return itertools.cycle([AUTH % token.encode() for token in self.tokens])
        users = itertools.cycle(self.users) if self.users else itertools.count(time_ns())
        return (LOGIN % code_of(user, n, slow=self.slow).encode() for n, user in enumerate(users))

    def is_expected(self, answer: bytes) -> bool:
        if self.tokens:
            return answer.startswith(b"HTTP/1.1 204 ") and b"oBench" in answer
        return answer.startswith(b"HTTP/1.1 200 ") and b'"status":0' in answer


@dataclass(frozen=True)
class Round:
    """The results of one service in one round. The shares are of one core."""

    requests_per_second: float
    p50_ms: float
    p99_ms: float
    errors: int
    first_error: str
    server_cpu: float
    generator_cpu: float

    @property
    def cpu_us(self) -> float:
        """Return the processor time of the server for one request."""
        return self.server_cpu / self.requests_per_second * 1e6 if self.requests_per_second else 0.0


@dataclass
class Tally:
    latencies: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    finished: bool = False


class Connection(asyncio.Protocol):
    def __init__(self, load: Load, requests: Iterator[bytes], tally: Tally) -> None:
        self.load, self.requests, self.tally = load, requests, tally
        self.unread = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.WriteTransport = transport  # type: ignore[assignment]  # uvloop's is no subclass

    def send(self) -> None:
        self.sent = perf_counter()
        self.transport.write(next(self.requests))

    def data_received(self, data: bytes) -> None:
        self.unread += data
        if not is_whole(self.unread):
            return
        self.tally.latencies.append(perf_counter() - self.sent)
        if not self.load.is_expected(self.unread):
            self.tally.errors.append(repr(self.unread[:300]))
        self.unread = b""
        self.send()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.tally.finished:
            self.tally.errors.append(f"connection lost: {exc}")


def is_whole(answer: bytes) -> bool:
    head = answer.find(b"\r\n\r\n")
    if head < 0:
        return False
    if length := LENGTH.search(answer, 0, head):
        return len(answer) >= head + 4 + int(length[1])
    return answer.endswith(b"\r\n0\r\n\r\n") if answer.find(b"chunked", 0, head) > 0 else True


async def measure(load: Load) -> Round:
    tally, requests = Tally(), load.requests()
    loop = asyncio.get_running_loop()
    opening = [
        loop.create_connection(lambda: Connection(load, requests, tally), HOST, load.port)
        for _ in range(load.concurrency)
    ]
    # All connections are open before the first request, because a busy server accepts them slowly.
    for _, connection in [await each for each in opening]:
        connection.send()
    await asyncio.sleep(WARM_UP_SECONDS)
    tally.latencies.clear()
    server, own, clock = cpu_seconds(load.server_pid), process_time(), perf_counter()
    await asyncio.sleep(load.seconds)
    tally.finished = True
    seconds = perf_counter() - clock
    return Round(
        requests_per_second=len(tally.latencies) / seconds,
        p50_ms=percentile(tally.latencies, 50) * 1000,
        p99_ms=percentile(tally.latencies, 99) * 1000,
        errors=len(tally.errors),
        first_error=next(iter(tally.errors), ""),
        server_cpu=(cpu_seconds(load.server_pid) - server) / seconds,
        generator_cpu=(process_time() - own) / seconds,
    )


def percentile(values: list[float], percent: int) -> float:
    return sorted(values)[len(values) * percent // 100] if values else 0.0


def cpu_seconds(session: int) -> float:
    """Return the CPU time of the processes of a session so far, or 0 on systems other than Linux."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # the process has just ended
            fields = stat.read_text().rpartition(")")[2].split()  # proc_pid_stat(5), from the third field on
            ticks += int(fields[11]) + int(fields[12]) if int(fields[3]) == session else 0
    return ticks / os.sysconf("SC_CLK_TCK")


def main() -> None:
    print(json.dumps(asdict(run(measure(Load(**json.load(sys.stdin)))))))


if __name__ == "__main__":
    main()
