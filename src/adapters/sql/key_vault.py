"""session_keys in a database, encrypted: one row for each account."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, Row, bindparam, case, delete, exists, select, tuple_, update

from adapters.crypto.ciphers import FernetCipher, open_ring
from adapters.sql.database import BATCH, Database
from adapters.sql.tables import UtcDateTime, accounts, session_keys
from adapters.sql.upsert import upsert
from application.ports.key_vault import KeyVault
from domain.errors import DataUndecryptable
from domain.identity import Identity
from domain.session import Session
from domain.session_key import KeyRing, Reencrypted, SessionKey

Account = tuple[str, str]
"""An appid and an openid."""

FIRST: Account = ("!", "!")
"""A value that sorts before every account: no appid begins with the first printable character."""


class SqlKeyVault(KeyVault):
    """A KeyVault on the database of the users."""

    def __init__(self, database: Database, cipher: FernetCipher) -> None:
        self._database = database
        self._cipher = cipher

    async def get(self, session: Session) -> KeyRing:
        """See KeyVault."""
        row = await self._database.read(partial(_find, identity=session.identity))
        if row is None:
            raise DataUndecryptable("No session_key of this user is kept; log in again")
        return open_ring(self._open, row.current, row.previous, row.replaced_at)

    def _open(self, encrypted: str) -> SessionKey:
        return SessionKey(self._cipher.decrypt(encrypted))

    async def replace(self, session: Session, key: SessionKey, now: datetime) -> None:
        """See KeyVault."""
        row = {
            "appid": session.identity.appid.value,
            "openid": session.identity.openid,
            "key_id": key.fingerprint,
            "current": self._cipher.encrypt(key.value),
            "retain_until": session.expires_at,
            "now": now,
        }
        await self._database.write_one(partial(upsert, table=session_keys, row=row, changes=_replacing))

    async def erase(self, user_id: str, accounts: Sequence[Identity]) -> None:  # noqa: ARG002  # keys are by account
        """See KeyVault. UserRepository.erase deletes keys, too: what is left is of a login that was under way."""
        for identity in accounts:
            await self._database.write_one(partial(_delete_of_no_one, identity=identity))

    async def reencrypt(self) -> Reencrypted:
        """See KeyVault."""
        total = Reencrypted()
        last: Account | None = FIRST
        while last:
            counted, last = await self._database.write(partial(self._reencrypt_batch, after=last))
            total += counted
        return total

    def _reencrypt_batch(self, connection: Connection, after: Account) -> tuple[Reencrypted, Account | None]:
        """Encrypt the keys of the next BATCH accounts, and return the counts and the last account; None at the end."""
        account = tuple_(session_keys.c.appid, session_keys.c.openid)
        batch = select(session_keys).where(account > after).order_by(*account).limit(BATCH).with_for_update()
        total, last = Reencrypted(), None
        for row in connection.execute(batch).all():
            last = (row.appid, row.openid)
            kept = {name: encrypted for name in ("current", "previous") if (encrypted := getattr(row, name))}
            reencrypted, counted = self._cipher.reencrypt(*kept.values())
            values = dict(zip(kept, reencrypted, strict=True))
            connection.execute(update(session_keys).where(account == last).values(values))
            total += counted
        return total, last


def _replacing(new: Any) -> list[tuple[str, Any]]:
    """Return the changes that a newer key makes. `key_id` is last, because MySQL evaluates them in order."""
    old = session_keys.c
    is_same = old.key_id == new.key_id
    return [
        ("previous", case((is_same, old.previous), else_=old.current)),
        ("replaced_at", case((is_same, old.replaced_at), else_=bindparam("now", type_=UtcDateTime))),
        ("current", new.current),
        ("retain_until", case((old.retain_until > new.retain_until, old.retain_until), else_=new.retain_until)),
        ("key_id", new.key_id),
    ]


def _find(connection: Connection, identity: Identity) -> Row[Any] | None:
    return connection.execute(select(session_keys).where(_is_of(identity))).first()


def _delete_of_no_one(connection: Connection, identity: Identity) -> None:
    """Delete the key of the account, unless a user has the account."""
    is_theirs = (accounts.c.appid == identity.appid.value) & (accounts.c.openid == identity.openid)
    connection.execute(delete(session_keys).where(_is_of(identity), ~exists().where(is_theirs)))


def _is_of(identity: Identity) -> Any:
    return (session_keys.c.appid == identity.appid.value) & (session_keys.c.openid == identity.openid)
