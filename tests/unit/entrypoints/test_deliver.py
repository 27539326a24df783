"""The deliveries that a service runs by itself."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import nullcontext
from pathlib import Path
from typing import NoReturn

import pytest
from dependency_injector import providers
from prometheus_client import generate_latest
from structlog.testing import capture_logs

from adapters.memory.webhook_queue import MemoryWebhookQueue
from adapters.memory.webhook_sender import MemoryWebhookSender
from adapters.sql.schema import migrate
from adapters.sql.webhook_queue import SqlWebhookQueue
from application import webhooks
from domain.webhook import WebhookReply
from entrypoints import deliver
from entrypoints.container import Container, open_container
from entrypoints.deliver import delivering
from entrypoints.http.app import create_app
from entrypoints.settings import Settings
from support.clock import Clock
from support.processes import APPID, KEY, SECRET
from support.webhooks import SECRET as HOOK_SECRET
from support.webhooks import insert_deliveries, new_event

pytestmark = pytest.mark.anyio

HOOK = json.dumps([{"url": "https://shop.example.com/a-secret-path", "secret": HOOK_SECRET}])


@pytest.fixture
async def container(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Container]:
    """A container on a database without tables, with a sender in memory and short pauses."""
    monkeypatch.setattr(webhooks, "POLL_SECONDS", (0.002, 0.005))
    for name in ("RETRY_SECONDS", "MEASURE_SECONDS", "CLEAN_SECONDS"):
        monkeypatch.setattr(deliver, name, 0.005)
    given = {"appid": APPID, "app_secret": SECRET, "encryption_keys": KEY, "webhooks": HOOK}
    given["database_url"] = f"sqlite+aiosqlite:///{tmp_path / 'wxlogin.db'}"
    async with open_container(Settings.model_validate(given), clock=clock) as opened:
        yield opened


@pytest.fixture(autouse=True)
def sender(container: Container) -> MemoryWebhookSender:
    """A sender in memory in place of that over HTTP."""
    sender = MemoryWebhookSender()
    container.webhook_sender.override(providers.Object(sender))
    return sender


@pytest.fixture
def endpoint(container: Container) -> str:
    """The id of the endpoint."""
    return container.settings().webhook_endpoints[0].id


async def until(condition: Callable[[], bool]) -> None:
    """Wait for the condition."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  # nothing sends a notification
            await asyncio.sleep(0.005)


def exposed(container: Container) -> str:
    """Return the metrics."""
    return generate_latest(container.metrics()).decode()


async def test_a_service_delivers_while_it_serves(
    container: Container, endpoint: str, sender: MemoryWebhookSender, clock: Clock
) -> None:
    """A service sends what is in its database, also what is added while it runs."""
    await migrate(container.database())
    events = [new_event(clock.now), new_event(clock.now)]
    await insert_deliveries(container.database(), endpoint, events[:1])
    async with create_app(lambda: nullcontext(container)).lifespan():
        await until(lambda: len(sender.sent) == 1)
        await insert_deliveries(container.database(), endpoint, events[1:])
        await until(lambda: len(sender.sent) == 2)

    assert sender.sent == [(endpoint, event) for event in events]
    assert await SqlWebhookQueue(container.database()).backlog() == {}


async def test_delivering_ends_with_its_block(container: Container) -> None:
    """All tasks end with the block."""
    before = asyncio.all_tasks()
    async with delivering(container):
        assert len(asyncio.all_tasks() - before) == 3

    assert asyncio.all_tasks() == before


async def test_delivering_goes_on_after_the_database_failed(
    container: Container, endpoint: str, sender: MemoryWebhookSender, clock: Clock
) -> None:
    """Without a working database, errors are logged. With one, events are sent."""
    with capture_logs() as logged:
        async with delivering(container):
            await until(lambda: bool(logged))
            await migrate(container.database())
            await insert_deliveries(container.database(), endpoint, [new_event(clock.now)])
            await until(lambda: bool(sender.sent))

    assert (logged[0]["event"], logged[0]["where"]) == ("store_unavailable", "webhooks")


async def test_a_defect_does_not_end_deliveries(
    container: Container,
    endpoint: str,
    sender: MemoryWebhookSender,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After an unexpected exception, which is logged, events are sent."""
    await migrate(container.database())
    queue = container.webhook_queue()
    claim = queue.claim

    async def fail(*_: object) -> NoReturn:
        monkeypatch.setattr(queue, "claim", claim)
        raise ZeroDivisionError

    monkeypatch.setattr(queue, "claim", fail)
    await insert_deliveries(container.database(), endpoint, [new_event(clock.now)])
    with capture_logs() as logged:
        async with delivering(container):
            await until(lambda: bool(sender.sent))

    assert (logged[0]["event"], logged[0]["where"]) == ("defect", "webhooks")


async def test_an_exception_of_a_sender_is_a_failed_attempt(
    container: Container, endpoint: str, sender: MemoryWebhookSender, clock: Clock
) -> None:
    """An exception that no sender should raise postpones its event, and other events are sent."""
    await migrate(container.database())

    def respond(*_: object) -> WebhookReply:
        sender.respond = lambda _, __: WebhookReply(204)
        raise ZeroDivisionError

    sender.respond = respond
    await insert_deliveries(container.database(), endpoint, [new_event(clock.now)])
    with capture_logs() as logged:
        async with delivering(container):
            await until(lambda: bool(logged))
            await insert_deliveries(container.database(), endpoint, [new_event(clock.now)])
            await until(lambda: len(sender.sent) == 2)

    assert (logged[0]["event"], logged[0]["cause"]) == ("webhook_postponed", "ZeroDivisionError")


@pytest.mark.parametrize(
    ("status", "event", "level"),
    [(500, "webhook_postponed", "info"), (410, "webhook_gone", "warning")],
)
async def test_failures_are_logged_and_counted(
    status: int, event: str, level: str, container: Container, endpoint: str, sender: MemoryWebhookSender, clock: Clock
) -> None:
    """A failure has a line and a count with the endpoint's id and host, and neither its path nor its secret."""
    await migrate(container.database())
    sender.respond = lambda _, __: WebhookReply(status)
    delivered = new_event(clock.now)
    await insert_deliveries(container.database(), endpoint, [delivered])
    with capture_logs() as logged:
        async with delivering(container):
            await until(lambda: bool(logged))

    line = {name: logged[0][name] for name in ("event", "log_level", "endpoint", "host", "webhook_id", "status")}
    assert line == {
        "event": event,
        "log_level": level,
        "endpoint": endpoint,
        "host": "shop.example.com",
        "webhook_id": delivered.id,
        "status": status,
    }
    label = f'endpoint="{endpoint}",host="shop.example.com",outcome="{event.removeprefix("webhook_")}"'
    assert f"wxlogin_webhook_attempts_total{{{label}}} 1.0" in exposed(container)
    assert "a-secret" not in exposed(container) + repr(logged)


async def test_the_backlog_is_measured(
    container: Container, endpoint: str, sender: MemoryWebhookSender, clock: Clock
) -> None:
    """The metrics have how many deliveries wait, and the age of the oldest event. When nothing waits, both are 0."""
    queue = MemoryWebhookQueue()
    container.webhook_queue.override(providers.Object(queue))
    sender.respond = lambda _, __: WebhookReply(500)
    waiting = new_event(clock.now)
    queue.add(endpoint, waiting)
    clock.advance(seconds=4)
    labels = f'{{endpoint="{endpoint}",host="shop.example.com"}}'
    async with delivering(container):
        await until(lambda: f"wxlogin_webhook_deliveries_waiting{labels} 1.0" in exposed(container))
        age = f"wxlogin_webhook_oldest_seconds{labels} 4.0" in exposed(container)
        await queue.remove(await queue.claim(endpoint, clock.advance(days=1), webhooks.LEASE, 1))
        await until(lambda: f"wxlogin_webhook_deliveries_waiting{labels} 0.0" in exposed(container))

    assert age
    assert f"wxlogin_webhook_oldest_seconds{labels} 0.0" in exposed(container)


async def test_what_a_removed_endpoint_did_not_get_is_removed(container: Container, clock: Clock) -> None:
    """Old deliveries of an endpoint that is no longer configured are removed, and their number is logged."""
    await migrate(container.database())
    await insert_deliveries(container.database(), "0" * 16, [new_event(clock.now)])
    clock.advance(days=4)
    with capture_logs() as logged:
        async with delivering(container):
            await until(lambda: bool(logged))

    assert (logged[0]["event"], logged[0]["deliveries"]) == ("webhooks_orphaned", 1)
