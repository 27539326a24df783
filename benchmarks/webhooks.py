"""`python -m benchmarks.webhooks`: events to a fast receiver, by one process, also beside one that never answers.

Feeder, deliverer and receiver are a process each. It needs the servers of the tests: `make .venv/dev`.
"""

import argparse
import asyncio
import json
import multiprocessing
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import Enum
from itertools import product
from pathlib import Path
from typing import Any

import uvloop
from litestar.types import HTTPResponseBodyEvent, HTTPResponseStartEvent, Receive, Scope, Send
from rich.console import Console
from rich.table import Table

from benchmarks.servers import ROOT

sys.path.append(str(ROOT / "tests"))

from adapters.sql.database import Database
from adapters.sql.webhook_queue import SqlWebhookQueue
from domain.webhook import WebhookEndpoint
from entrypoints.container import open_container
from entrypoints.deliver import delivering
from entrypoints.http.engine import Engine
from entrypoints.http.listener import Listener
from entrypoints.log import configure_logging
from entrypoints.settings import Settings
from support.processes import APPID, KEY, SECRET
from support.servers import create_database, migrate_database, postgres_url, sqlite_url
from support.webhooks import SECRET as HOOK_SECRET
from support.webhooks import insert_deliveries, new_event

SPAWN = multiprocessing.get_context("spawn")
NO_CONTENT: HTTPResponseStartEvent = {"type": "http.response.start", "status": 204, "headers": []}
END: HTTPResponseBodyEvent = {"type": "http.response.body", "body": b"", "more_body": False}
BATCH_SECONDS = 0.1


class Load(Enum):
    """When events are written, and who receives them."""

    BACKLOG = "all before the start"
    STEADY = "steady"
    BESIDE_DEAD = "steady, beside a dead receiver"


def receive(channel: Any) -> None:
    """Answer each request at once until a message comes, and send back the bodies with the times of their arrival."""
    arrivals: list[tuple[bytes, float]] = []

    async def application(_scope: Scope, receive: Receive, send: Send) -> None:
        body, has_more = b"", True
        while has_more:
            message: Any = await receive()
            body, has_more = body + message["body"], message["more_body"]
        arrivals.append((body, time.time()))
        await send(NO_CONTENT)
        await send(END)

    async def serve() -> None:
        listener = Listener.open("127.0.0.1", 0)
        listener.listen()
        channel.send(listener.url)
        engine = Engine(application, listener, connections=1000)
        serving = asyncio.create_task(engine.serve())
        await asyncio.to_thread(channel.recv)
        engine.stop()  # type: ignore[no-untyped-call]
        await serving
        channel.send(arrivals)

    uvloop.run(serve())


def deliver(channel: Any, url: str, hooks: str) -> None:
    """Deliver until a message comes, and send back the processor time."""

    async def run() -> None:
        given = {"appid": APPID, "app_secret": SECRET, "encryption_keys": KEY, "database_url": url, "webhooks": hooks}
        settings = Settings.model_validate({**given, "log_level": "warning"})
        configure_logging(settings)
        async with open_container(settings) as container, delivering(container):
            begun = time.process_time()
            channel.send("ready")
            await asyncio.to_thread(channel.recv)
            channel.send(time.process_time() - begun)

    uvloop.run(run())


async def feed(url: str, endpoints: list[str], rate: int, number: int) -> float:
    """Insert a number of events for each endpoint, at a rate. Return the seconds that it took."""
    fed, begun = 0, time.monotonic()
    async with Database(url) as database:
        while fed < number:
            await asyncio.sleep(BATCH_SECONDS)
            due = min(int(rate * (time.monotonic() - begun)), number)
            events = [new_event(datetime.now(UTC)) for _ in range(due - fed)]
            for endpoint in endpoints if events else []:
                await insert_deliveries(database, endpoint, events)
            fed = due
    return time.monotonic() - begun


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


def measure(url: str, load: Load, rate: int, number: int) -> list[str]:
    """Feed, deliver and receive, and return the figures."""
    migrate_database(url)
    with socket.create_server(("127.0.0.1", 0), backlog=1000) as silent, child(receive) as receiver:
        targets = [f"{receiver.recv()}/"]
        targets += [f"http://127.0.0.1:{silent.getsockname()[1]}/"] if load is Load.BESIDE_DEAD else []
        endpoints = [WebhookEndpoint(each, ()).id for each in targets]
        hooks = json.dumps([{"url": each, "secret": HOOK_SECRET, "private": True} for each in targets])
        if load is Load.BACKLOG:
            uvloop.run(feed(url, endpoints, 10 * rate, number))
        with child(deliver, url, hooks) as deliverer:
            deliverer.recv()
            fed = uvloop.run(feed(url, endpoints, rate, number)) if load is not Load.BACKLOG else 0.0
            uvloop.run(drain(url, endpoints[0]))
            deliverer.send("stop")
            processor = deliverer.recv()
        receiver.send("stop")
        arrivals = receiver.recv()
    bodies = [(json.loads(body)["data"], at) for body, at in arrivals]
    delays = sorted(at - datetime.fromisoformat(data["time"]).timestamp() for data, at in bodies)
    times = [at for _, at in arrivals]
    timed = [f"{number / fed:.0f}", *(f"{delays[number * each // 100]:.2f}" for each in (50, 99))] if fed else [""] * 3
    return [
        str(number),
        f"{len(times) / (max(times) - min(times)):.0f}",
        *timed,
        str(len(arrivals) - len({data["id"] for data, _ in bodies})),
        f"{1000 * processor / len(arrivals):.2f}",
    ]


async def drain(url: str, endpoint: str) -> None:
    """Wait until nothing waits for the endpoint."""
    async with Database(url) as database:
        while endpoint in await SqlWebhookQueue(database).backlog():  # noqa: ASYNC110  # rows send no notification
            await asyncio.sleep(0.5)


def main() -> None:
    """Print a table with a row for each load and database."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=1000, help="events a second")
    parser.add_argument("--seconds", type=float, default=10)
    options = parser.parse_args()
    names = ["load", "database", "events", "delivered/s", "fed/s", "delay p50 s", "p99 s", "repeats", "CPU ms/event"]
    table = Table(*names, title=f"{options.rate} events a second for {options.seconds:g} s, one process")
    with tempfile.TemporaryDirectory() as directory, postgres_url() as postgres:
        for load, name in product(Load, ("SQLite", "PostgreSQL")):
            url = sqlite_url(Path(directory)) if name == "SQLite" else create_database(postgres)
            table.add_row(load.value, name, *measure(url, load, options.rate, int(options.rate * options.seconds)))
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
