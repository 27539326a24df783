"""Events and deliveries of webhooks, as the core writes them, and receivers."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from sqlalchemy import insert
from standardwebhooks import Webhook

from adapters.memory.webhook_queue import MemoryWebhookQueue
from adapters.sql.database import Database
from adapters.sql.event_records import encode_event
from adapters.sql.tables import webhook_deliveries
from adapters.sql.webhook_queue import SqlWebhookQueue
from application.ports.webhook_queue import WebhookQueue
from domain.event import Cause, Event, EventType

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYq="
OTHER_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDC2FVsBQIhrs="


def new_event(now: datetime, **changes: Any) -> Event:
    """Return an event that no other test uses."""
    known = {"user_id": "ann", "session_id": "5e55", "app": "wx0123456789abcdef", "reason": "session_ended"}
    return Event.of(EventType.SESSION_ENDED, Cause.user("203.0.113.7"), now, **{**known, **changes})


def rows_of(endpoint: str, events: Sequence[Event]) -> list[dict[str, Any]]:
    """Return the rows of deliveries, as the core inserts them with the events."""
    return [
        {
            "endpoint": endpoint,
            "event_id": event.id,
            "event": encode_event(event),
            "event_time": event.time,
            "attempts": 0,
            "due_at": event.time,
        }
        for event in events
    ]


async def insert_deliveries(database: Database, endpoint: str, events: Sequence[Event]) -> None:
    """Insert deliveries of the events."""
    await database.write_slowly(
        lambda connection: connection.execute(insert(webhook_deliveries), rows_of(endpoint, events))
    )


async def add_deliveries(queue: WebhookQueue, endpoint: str, *events: Event) -> None:
    """Add deliveries of the events to a queue of any kind."""
    if isinstance(queue, MemoryWebhookQueue):
        for event in events:
            queue.add(endpoint, event)
    else:
        assert isinstance(queue, SqlWebhookQueue)
        await insert_deliveries(queue._database, endpoint, events)


def queue_deliveries(database_url: str, endpoint: str, events: Sequence[Event]) -> None:
    """Insert deliveries of the events into a database that a service uses."""

    async def insert_all() -> None:
        async with Database(database_url) as database:
            await insert_deliveries(database, endpoint, events)

    asyncio.run(insert_all())


def count_deliveries(database_url: str) -> int:
    """Return how many deliveries wait in a database."""

    async def count() -> int:
        async with Database(database_url) as database:
            backlog = await SqlWebhookQueue(database).backlog()
            return sum(each.waiting for each in backlog.values())

    return asyncio.run(count())


@dataclass(frozen=True)
class Received:
    """A request that a receiver got."""

    at: float
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        """Return the id of the message."""
        return self.headers["webhook-id"]

    def verified(self, secret: str = SECRET) -> Any:
        """Return the body, verified by the library of Standard Webhooks."""
        return Webhook(secret).verify(self.body, self.headers)


Reply = tuple[int, dict[str, str]]


@dataclass
class Receiver:
    """A receiver of webhooks on this machine."""

    reply: Callable[[Received], Reply] = lambda _: (204, {})
    received: list[Received] = field(default_factory=list)
    url: str = ""

    def ids(self) -> list[str]:
        """Return the ids of all messages, in the order of their arrival."""
        return [each.id for each in list(self.received)]

    def setting(self, **more: Any) -> str:
        """Return the value of WXLOGIN_WEBHOOKS for this receiver."""
        return json.dumps([self.entry(**more)])

    def entry(self, **more: Any) -> dict[str, Any]:
        """Return the entry of WXLOGIN_WEBHOOKS for this receiver."""
        return {"url": self.url, "secret": SECRET, "private": True, **more}


@contextmanager
def receiver(reply: Callable[[Received], Reply] = lambda _: (204, {})) -> Iterator[Receiver]:
    """Run a receiver that answers as `reply` says."""
    running = Receiver(reply)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def do_POST(self) -> None:  # the library's name
            """Keep the request, and answer."""
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            got = Received(time.time(), self.path, headers, body)
            running.received.append(got)
            status, more = running.reply(got)
            self.send_response(status)
            for name, value in {"content-length": "0", **more}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, format: str, *_: object) -> None:  # noqa: A002  # the library's name
            """Print nothing."""

    class Server(ThreadingHTTPServer):
        request_queue_size = 200  # more than a lane opens at once; the library's 5 would drop connections
        daemon_threads = True

    server = Server(("127.0.0.1", 0), Handler)
    running.url = f"http://127.0.0.1:{server.server_port}/hooks/a-secret-path"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield running
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
