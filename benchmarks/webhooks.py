"""`python -m benchmarks.webhooks`: events to a fast receiver, by one process, beside a receiver that never answers.

Feeder, deliverer and receiver are a process each. It needs the servers of the tests: `make .venv/dev`.
"""

import argparse
import asyncio
import json
import multiprocessing
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.servers import ROOT

sys.path.append(str(ROOT / "tests"))

from adapters.sql.database import Database
from adapters.sql.webhook_queue import SqlWebhookQueue
from domain.webhook import WebhookEndpoint
from entrypoints.container import open_container
from entrypoints.deliver import delivering
from entrypoints.settings import Settings
from support.processes import APPID, KEY, SECRET
from support.servers import create_database, migrate_database, postgres_url, sqlite_url
from support.webhooks import SECRET as HOOK_SECRET
from support.webhooks import insert_deliveries, new_event

SPAWN = multiprocessing.get_context("spawn")
RESPONSE = b"HTTP/1.1 204 No Content\r\n\r\n"
BATCH_SECONDS = 0.1


class Receiving(asyncio.Protocol):
    """A receiver that answers each request at once, and notes the body and the time."""

    arrivals: list[tuple[bytes, float]] = []  # noqa: RUF012  # of the process

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while True:
            head, found, rest = self.buffer.partition(b"\r\n\r\n")
            if not found:
                return
            fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
            length = int(fields[b"content-length"])
            if len(rest) < length:
                return
            self.buffer = rest[length:]
            self.arrivals.append((rest[:length], time.time()))
            self.transport.write(RESPONSE)


def receive(channel: Any) -> None:
    """Receive until a message comes, and send back the arrivals."""

    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(Receiving, "127.0.0.1", 0)
        channel.send(server.sockets[0].getsockname()[1])
        await asyncio.to_thread(channel.recv)
        channel.send(Receiving.arrivals)

    uvloop.run(serve())


def deliver(channel: Any, url: str, hooks: str) -> None:
    """Deliver until a message comes, and send back the processor time."""

    async def run() -> None:
        given = {"appid": APPID, "app_secret": SECRET, "encryption_keys": KEY, "database_url": url, "webhooks": hooks}
        async with open_container(Settings.model_validate(given)) as container, delivering(container):
            channel.send("ready")
            await asyncio.to_thread(channel.recv)
        channel.send(time.process_time())

    uvloop.run(run())


async def feed(url: str, endpoints: list[str], rate: int, seconds: float) -> int:
    """Insert events for each endpoint at a rate, and return how many."""
    number, begun = 0, time.monotonic()
    async with Database(url) as database:
        while (passed := time.monotonic() - begun) < seconds:
            events = [new_event(datetime.now(UTC)) for _ in range(int(rate * passed) + 1 - number)]
            for endpoint in endpoints if events else []:
                await insert_deliveries(database, endpoint, events)
            number += len(events)
            await asyncio.sleep(BATCH_SECONDS)
    return number


@contextmanager
def child(target: Any, *arguments: Any) -> Iterator[Any]:
    """Run a function in a process, and yield the channel to it."""
    ours, theirs = SPAWN.Pipe()
    process = SPAWN.Process(target=target, args=(theirs, *arguments), daemon=True)
    process.start()
    try:
        yield ours
    finally:
        process.join(15)
        process.kill()


def measure(url: str, rate: int, seconds: float, *, dead: bool) -> list[str]:
    """Feed, deliver and receive, and return the figures."""
    migrate_database(url)
    with socket.create_server(("127.0.0.1", 0), backlog=1000) as silent, child(receive) as receiver:
        targets = [f"http://127.0.0.1:{receiver.recv()}/"]
        targets += [f"http://127.0.0.1:{silent.getsockname()[1]}/"] if dead else []
        endpoints = [WebhookEndpoint(each, ()).id for each in targets]
        hooks = json.dumps([{"url": each, "secret": HOOK_SECRET, "private": True} for each in targets])
        with child(deliver, url, hooks) as deliverer:
            deliverer.recv()
            begun = time.time()
            number = uvloop.run(feed(url, endpoints, rate, seconds))
            fed = time.time() - begun
            uvloop.run(drain(url, endpoints[0]))
            deliverer.send("stop")
            processor = deliverer.recv()
        receiver.send("stop")
        arrivals = receiver.recv()
    bodies = [(json.loads(body)["data"], at) for body, at in arrivals]
    delays = sorted(at - datetime.fromisoformat(data["time"]).timestamp() for data, at in bodies)
    return [
        str(number),
        f"{number / fed:.0f}",
        f"{len(arrivals) / (max(at for _, at in arrivals) - begun):.0f}",
        f"{statistics.median(delays):.2f}",
        f"{delays[int(len(delays) * 0.99)]:.2f}",
        str(len(arrivals) - len({data["id"] for data, _ in bodies})),
        f"{1000 * processor / len(arrivals):.2f}",
    ]


async def drain(url: str, endpoint: str) -> None:
    """Wait until nothing waits for the endpoint."""
    async with Database(url) as database:
        while endpoint in await SqlWebhookQueue(database).backlog():  # noqa: ASYNC110  # rows send no notification
            await asyncio.sleep(0.5)


def main() -> None:
    """Print a table with a row for each database, with and without the receiver that never answers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=1000, help="events a second")
    parser.add_argument("--seconds", type=float, default=10)
    options = parser.parse_args()
    names = [
        "database",
        "receivers",
        "events",
        "fed/s",
        "delivered/s",
        "delay p50 s",
        "p99 s",
        "repeats",
        "CPU ms/event",
    ]
    table = Table(*names, title=f"{options.rate} events a second for {options.seconds:g} s, one process")
    with tempfile.TemporaryDirectory() as directory, postgres_url() as postgres:
        for dead in (False, True):
            for name in ("SQLite", "PostgreSQL"):
                url = sqlite_url(Path(directory)) if name == "SQLite" else create_database(postgres)
                figures = measure(url, options.rate, options.seconds, dead=dead)
                table.add_row(name, "fast and dead" if dead else "fast", *figures)
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
