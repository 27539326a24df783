"""Access tokens in a database: one row for each app."""

from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import Connection, insert, select, update

from adapters.crypto.access_token_format import decode_state, encode_state
from adapters.crypto.ciphers import FernetCipher
from adapters.sql.database import Database
from adapters.sql.tables import access_tokens
from application.ports.access_token_store import AccessTokenStore
from domain.access_token import AccessTokenState
from domain.identity import AppId


class SqlAccessTokenStore(AccessTokenStore):
    """An AccessTokenStore on the database of the users. Leases use the clocks of the hosts, which must agree."""

    def __init__(self, database: Database, cipher: FernetCipher) -> None:
        self._database = database
        self._cipher = cipher

    async def load(self, appid: AppId) -> AccessTokenState:
        """See AccessTokenStore."""
        return decode_state(await self._database.read(partial(_load, appid=appid)), self._cipher)

    async def acquire_lease(self, appid: AppId, holder: str, now: datetime, lease: timedelta) -> bool:
        """See AccessTokenStore."""
        return await self._database.write(partial(_acquire, appid=appid, holder=holder, now=now, until=now + lease))

    async def save_and_release(self, appid: AppId, holder: str, state: AccessTokenState) -> None:
        """See AccessTokenStore."""
        encoded = encode_state(state, self._cipher)
        await self._database.write(partial(_release, appid=appid, holder=holder, encoded=encoded))


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


def _release(connection: Connection, appid: AppId, holder: str, encoded: str) -> None:
    row = update(access_tokens).where(access_tokens.c.appid == appid.value, access_tokens.c.holder == holder)
    connection.execute(row.values(sealed=encoded, holder=None, held_until=None))
