"""A user's own data: export it, erase it, and revoke a consent."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from typing import Any

from application.ports.clock import Clock
from application.ports.events import Events
from application.ports.key_vault import KeyVault
from application.ports.session_store import SessionStore
from application.ports.user_repository import UserRepository
from domain.errors import NotFound, RequestInvalid
from domain.event import Cause, Event, EventQuery
from domain.identity import AppId, Identity
from domain.own_data import REVOCABLE_FIELDS, SessionRecord, UserRecords
from domain.user import User

PAGE = 500
"""How many events are read at once."""


class OwnData:
    """Exports and erases what is kept about a user, for the user and for operators.

    - An export has all that is kept about the user, but no session_key and no hash of a token.
    - It names operators by their role, and does not show their addresses: these are not the user's data.
    - An erasure deletes the user from the database first, then from where sessions live. After the first step, no
      login finds the user.
    - An erasure that was interrupted is finished when it is repeated. So what the caller repeats it with is deleted
      last: the session of a user, and the account that WeChat names.
    - A login, a merge or a change that is under way fails, or cleans up after itself, or sees the new user.
    - The next login of the same person creates a new user, even if the user was blocked.

    Every method may raise StoreUnavailable.
    """

    def __init__(
        self, users: UserRepository, store: SessionStore, vault: KeyVault, events: Events, *, clock: Clock
    ) -> None:
        self._users = users
        self._store = store
        self._vault = vault
        self._events = events
        self._clock = clock

    async def export(self, user_id: str) -> dict[str, Any]:
        """Return all that is kept about the user, as one document of texts, numbers, times, lists and objects.

        Raises NotFound.
        """
        records = await self._users.records_of(user_id)
        user, ids = records.user, [*(each.user_id for each in records.merges), records.user.id]
        return {
            "exported_at": self._clock(),
            "user": _profile(user, records.accounts_since),
            "sessions": [_session(each) for each in await self._sessions(records, ids)],
            "scans": [asdict(each) for each in records.scans],
            "unionid_conflicts": [asdict(each) for each in records.conflicts],
            "merged_users": [
                {"id": each.user_id, "merged_at": each.merged_at, "user": _merged(each.user)} for each in records.merges
            ],
            "events": [_event(each) for each in await self._events_of(records, ids)],
        }

    async def erase(self, user_id: str, cause: Cause, session_id: str | None = None) -> bool:
        """Erase the user. Return True if they existed, and False if the call finished or repeated an erasure.

        Raises NotFound.

        `session_id` is the caller's session of `user_id`: it ends after all else is erased.
        """
        now = self._clock()
        erasure = await self._users.erase(user_id, now, cause)
        for each in sorted(erasure.ids, key=lambda erased: erased == user_id):  # the caller's id last
            await self._erase_sessions(each, erasure.accounts, now, cause, session_id)
        return erasure.is_new

    async def erase_found(self, user_id: str, cause: Cause) -> bool:
        """Erase a user that the caller found by an account, and return whether they were there. Raises NotFound.

        Erases the sessions of all ids first: after an interruption the caller still finds the user, and repeats all of
        it. Then erases the user, and the sessions that started meanwhile.
        """
        with suppress(NotFound):  # erased meanwhile
            for each in await self._users.ids_of(user_id):
                await self._erase_sessions(each, (), self._clock(), cause)
        return await self.erase(user_id, cause)

    async def _erase_sessions(
        self, user_id: str, accounts: Sequence[Identity], now: datetime, cause: Cause, last: str | None = None
    ) -> None:
        """Erase the session_keys of one id of a user, and then the sessions."""
        await self._vault.erase(user_id, accounts)
        await self._store.erase(user_id, now, cause, last)

    async def revoke_consent(
        self, appid: AppId, openid: str, fields: frozenset[str], cause: Cause, event_id: str | None = None
    ) -> User | None:
        """Remove the values of `fields` from the user with this account, and return the user; None if there is none.

        With an `event_id`, a repeat changes nothing, and returns None. Without a field, the event alone is written.
        Raises RequestInvalid for fields that are not in REVOCABLE_FIELDS.
        """
        if unknown := fields - REVOCABLE_FIELDS:
            raise RequestInvalid(f"There is no consent for {', '.join(sorted(unknown))}")
        user = await self._users.find_account(Identity(appid, openid))
        if user is None:
            return None
        return await self._users.revoke_consent(user.id, fields, self._clock(), cause, event_id)

    async def _sessions(self, records: UserRecords, user_ids: Sequence[str]) -> list[SessionRecord]:
        """Return the sessions of the store, and those in the database, which is another place if Redis is used.

        Those under the id of a merged user are there, too: an interrupted merge has not moved them.
        """
        known = {record.session.id: record for record in records.sessions}
        for user_id in user_ids:
            known |= {each.id: SessionRecord(each) for each in await self._store.list_for_user(user_id)}
        return sorted(known.values(), key=lambda record: (record.session.created_at, record.session.id), reverse=True)

    async def _events_of(self, records: UserRecords, user_ids: Sequence[str]) -> list[Event]:
        """Return the events of the audit trail and those that wait for a webhook, newest first."""
        found = {event.id: event for event in records.waiting}
        for user_id in user_ids:
            before: tuple[datetime, str] | None = None
            while page := await self._events.find(EventQuery(user_id=user_id, before=before, limit=PAGE)):
                found |= {event.id: event for event in page}
                before = (page[-1].time, page[-1].id)
        return sorted(found.values(), key=lambda event: (event.time, event.id), reverse=True)


def _profile(user: User, accounts_since: tuple[datetime, ...]) -> dict[str, Any]:
    accounts = [
        {"appid": account.appid.value, "openid": account.openid, "created_at": since}
        for account, since in zip(user.accounts, accounts_since, strict=False)  # a login may have added one meanwhile
    ]
    return {
        "id": user.id,
        **asdict(user.profile),
        "phone": user.phone,
        "unionid": user.unionid,
        "created_at": user.created_at,
        "updated_at": user.updated_at,
        "blocked_at": user.blocked_at,
        "accounts": accounts,
    }


def _merged(user: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record of a merged user in the form of `_profile`."""
    accounts = [{"appid": _text(each["appid"]), "openid": each["openid"]} for each in user["accounts"]]
    flat = {name: value for name, value in user.items() if name not in ("profile", "accounts")}
    return {**flat, **user["profile"], "accounts": accounts}


def _text(appid: Any) -> str:
    return str(appid["value"] if isinstance(appid, Mapping) else appid)


def _session(record: SessionRecord) -> dict[str, Any]:
    session = record.session
    return {
        "id": session.id,
        "appid": session.identity.appid.value,
        "openid": session.identity.openid,
        "unionid": session.identity.unionid,
        "user_agent": session.device.user_agent,
        "device": session.device.label,
        "ip": session.device.ip,
        "created_at": session.created_at,
        "last_seen_at": session.last_seen_at,
        "idle_expires_at": session.idle_expires_at,
        "expires_at": session.expires_at,
        "end_reason": record.end_reason.value if record.end_reason else None,
    }


def _event(event: Event) -> dict[str, Any]:
    shown = event if event.has_address_of_user else event.without_address()
    return asdict(shown) | {
        "type": event.type.value,
        "actor": "admin" if event.actor.startswith("admin:") else event.actor,
    }
