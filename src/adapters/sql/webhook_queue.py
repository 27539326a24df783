"""The deliveries of webhooks in a database: one row for each event and endpoint."""

import logging
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, select, update

from adapters.sql.database import BATCH, Database
from adapters.sql.event_records import decode_event
from adapters.sql.tables import webhook_deliveries
from application.ports.webhook_queue import WebhookQueue
from domain.webhook import Backlog, Delivery

CLAIMS = 3
"""How often a claim that another process disturbed is tried: that process commits within milliseconds."""

logger = logging.getLogger("wxlogin.webhooks")

row = webhook_deliveries.c
COLUMNS = (row.event_id, row.event, row.attempts, row.due_at)

DUE = (
    select(*COLUMNS)
    .where(row.endpoint == bindparam("endpoint"), row.due_at <= bindparam("now"))
    .order_by(row.due_at)
    .limit(bindparam("most"))
)
IS_DUE = select(row.event_id).where(row.endpoint == bindparam("endpoint"), row.due_at <= bindparam("now")).limit(1)
DUE_IDS = DUE.with_only_columns(row.event_id)
LOCK_DUE = DUE.with_for_update(skip_locked=True)
LOCK_BY_KEY = (
    select(*COLUMNS)
    .where(row.endpoint == bindparam("endpoint"), row.event_id.in_(bindparam("ids", expanding=True)))
    .with_hint(webhook_deliveries, "FORCE INDEX (PRIMARY)", "mysql")
    .with_hint(webhook_deliveries, "FORCE INDEX (PRIMARY)", "mariadb")
    .with_for_update(skip_locked=True)
)
CHOSEN = (row.endpoint == bindparam("of"), row.event_id.in_(bindparam("ids", expanding=True)))
LEASE = update(webhook_deliveries).where(*CHOSEN).values(due_at=bindparam("until"))
REMOVE = delete(webhook_deliveries).where(*CHOSEN)
BACKLOG = select(row.endpoint, func.count(), func.min(row.event_time)).group_by(row.endpoint)


class SqlWebhookQueue(WebhookQueue):
    """A WebhookQueue in a database. Leases use the clocks of the hosts, which must agree.

    A record of a newer release that this one cannot read waits for a process of that release.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._has_warned = False

    async def claim(self, endpoint: str, now: datetime, lease: timedelta, limit: int) -> list[Delivery]:
        """See WebhookQueue."""
        known = {"endpoint": endpoint, "now": now}
        for _ in range(CLAIMS):
            if not await self._database.read(partial(_is_due, known=known)):
                break  # most often, and cheaper than a transaction
            claim = partial(_claim, known=known, until=now + lease, limit=limit)
            if rows := await self._database.write(claim):
                return list(self._deliveries(endpoint, rows))
        return []

    def _deliveries(self, endpoint: str, rows: Iterable[Any]) -> Iterable[Delivery]:
        for each in rows:
            try:
                yield Delivery(endpoint, decode_event(each.event), each.attempts)
            except ValueError:  # its lease passes it on
                self._warn()

    def _warn(self) -> None:
        if not self._has_warned:
            self._has_warned = True
            logger.warning("cannot read a record, which a newer release may have written: %s", "webhook_deliveries")

    async def remove(self, deliveries: Sequence[Delivery]) -> None:
        """See WebhookQueue."""
        ordered = sorted(deliveries, key=lambda delivery: delivery.endpoint)
        for endpoint, group in groupby(ordered, lambda delivery: delivery.endpoint):
            ids = [delivery.event.id for delivery in group]
            for start in range(0, len(ids), BATCH):
                chosen = {"of": endpoint, "ids": ids[start : start + BATCH]}
                await self._database.write_one(partial(_execute, statement=REMOVE, parameters=chosen))

    async def postpone(self, delivery: Delivery, until: datetime) -> None:
        """See WebhookQueue."""
        await self._database.write_one(partial(_postpone, delivery=delivery, until=until))

    async def remove_others(self, endpoints: Collection[str], before: datetime) -> int:
        """See WebhookQueue."""
        removed = 0
        for endpoint in set(await self._database.read(_endpoints)) - set(endpoints):
            while count := await self._database.write(partial(_remove_old, endpoint=endpoint, before=before)):
                removed += count
        return removed

    async def backlog(self) -> dict[str, Backlog]:
        """See WebhookQueue."""
        rows = await self._database.read(lambda connection: connection.execute(BACKLOG).all())
        return {endpoint: Backlog(waiting, oldest) for endpoint, waiting, oldest in rows}


def _is_due(connection: Connection, known: dict[str, Any]) -> bool:
    return connection.execute(IS_DUE, known).first() is not None


def _claim(connection: Connection, known: dict[str, Any], until: datetime, limit: int) -> Sequence[Any]:
    """Lock rows that are due and that no other transaction has locked, and make them due after the lease."""
    rows = _lock(connection, {**known, "most": limit})
    if rows:
        ids = [each.event_id for each in rows]
        connection.execute(LEASE, {"of": known["endpoint"], "ids": ids, "until": until})
    return rows


def _lock(connection: Connection, known: dict[str, Any]) -> Sequence[Any]:
    """Lock what is due. SQLite's transaction has the write lock already.

    InnoDB would also lock the gaps of an index that is searched by a range, so that transactions that insert into them
    deadlock. There, the search is without locks, and the rows are locked by their keys.
    """
    if connection.dialect.name not in ("mysql", "mariadb"):
        return connection.execute(LOCK_DUE, known).all()
    ids = list(connection.scalars(DUE_IDS, known))
    if not ids:
        return []
    locked = connection.execute(LOCK_BY_KEY, {"endpoint": known["endpoint"], "ids": ids}).all()
    return sorted((each for each in locked if each.due_at <= known["now"]), key=lambda each: each.due_at)


def _execute(connection: Connection, statement: Any, parameters: dict[str, Any]) -> None:
    connection.execute(statement, parameters)


def _postpone(connection: Connection, delivery: Delivery, until: datetime) -> None:
    chosen = (row.endpoint == delivery.endpoint) & (row.event_id == delivery.event.id)
    statement = update(webhook_deliveries).where(chosen)
    connection.execute(statement.values(attempts=row.attempts + 1, due_at=until))


def _endpoints(connection: Connection) -> list[str]:
    return list(connection.scalars(select(row.endpoint).distinct()))


def _remove_old(connection: Connection, endpoint: str, before: datetime) -> int:
    old = select(row.event_id).where(row.endpoint == endpoint, row.event_time < before).limit(BATCH)
    ids = list(connection.scalars(old))
    return connection.execute(REMOVE, {"of": endpoint, "ids": ids}).rowcount if ids else 0
