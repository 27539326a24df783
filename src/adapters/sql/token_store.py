"""Access tokens in a database: one row an app."""

from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import Connection, insert, select, update

from adapters.sealing import Sealer
from adapters.sql.database import Database
from adapters.sql.tables import access_tokens
from adapters.token_format import seal, unseal
from application.ports import TokenStore
from domain.access_token import TokenState
from domain.identity import AppId


class SqlTokenStore(TokenStore):
    """A TokenStore on the database of the users. Leases go by the hosts' clocks, which have to be synchronised."""

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self._sealer = sealer

    async def load(self, appid: AppId) -> TokenState:
        """See TokenStore."""
        return unseal(await self._database.read(partial(_load, appid=appid)), self._sealer)

    async def acquire(self, appid: AppId, holder: str, now: datetime, lease: timedelta) -> bool:
        """See TokenStore."""
        return await self._database.write(partial(_acquire, appid=appid, holder=holder, now=now, until=now + lease))

    async def release(self, appid: AppId, holder: str, state: TokenState) -> None:
        """See TokenStore."""
        sealed = seal(state, self._sealer)
        await self._database.write(partial(_release, appid=appid, holder=holder, sealed=sealed))


def _load(connection: Connection, appid: AppId) -> str | None:
    return connection.scalar(select(access_tokens.c.sealed).where(access_tokens.c.appid == appid.value))


def _acquire(connection: Connection, appid: AppId, holder: str, now: datetime, until: datetime) -> bool:
    leased = {"holder": holder, "held_until": until}
    if connection.execute(select(access_tokens).where(access_tokens.c.appid == appid.value)).first() is None:
        connection.execute(insert(access_tokens).values(appid=appid.value, **leased))
        return True
    is_free = access_tokens.c.holder.is_(None) | (access_tokens.c.held_until <= now)
    row = update(access_tokens).where(access_tokens.c.appid == appid.value, is_free)
    return connection.execute(row.values(leased)).rowcount == 1


def _release(connection: Connection, appid: AppId, holder: str, sealed: str) -> None:
    row = update(access_tokens).where(access_tokens.c.appid == appid.value, access_tokens.c.holder == holder)
    connection.execute(row.values(sealed=sealed, holder=None, held_until=None))
