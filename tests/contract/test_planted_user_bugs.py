"""The contract suites of UserRepository fail on an adapter that searches, forgets or erases wrongly."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

import pytest
from sqlalchemy import select

from adapters.crypto.ciphers import SivCipher
from adapters.memory.user_repository import MemoryUserRepository
from adapters.redis.client import create_client
from adapters.redis.connections import RedisClient
from adapters.redis.key_vault import RedisKeyVault
from adapters.redis.session_store import RedisSessionStore
from adapters.sql.tables import users as user_rows
from adapters.sql.user_repository import SqlUserRepository
from application.ports.key_vault import KeyVault
from application.ports.session_store import SessionStore
from contract import test_failed_starts as failed_starts
from contract import test_revocations as revocations
from contract import test_session_erasure as session_erasure
from contract import test_unique_phones as unique_phones
from contract import test_user_erasure as erasure
from contract import test_user_events as user_events
from contract import test_user_search as search
from domain.errors import NotFound, PhoneTaken
from domain.event import DEFAULT_POLICY, Cause, EventPolicy
from domain.identity import Identity
from domain.own_data import Erasure
from domain.session import EndReason, Session
from domain.user import PhoneNumber, User
from domain.user_query import UserQuery
from support.clock import Clock
from support.events import Kept
from support.places import DATABASES, open_environment
from support.sessions import Scenario

pytestmark = pytest.mark.anyio

CAUGHT = (AssertionError, NotFound, pytest.fail.Exception)
"""What a test of a suite raises if its promise is broken."""

Promise = Callable[[Any, Clock], Awaitable[None]]
"""A test of a suite."""


class Hides(MemoryUserRepository):
    """A repository that keeps an erased user, so that the next login finds them."""

    async def erase(self, user_id: str, now: datetime, cause: Cause) -> Erasure:
        """See UserRepository."""
        user = await self.get(user_id)
        erased = await super().erase(user_id, now, cause)
        self._users[user.id] = user
        return erased


class ErasesAgain(MemoryUserRepository):
    """A repository that says of each erasure that it was the first."""

    async def erase(self, user_id: str, now: datetime, cause: Cause) -> Erasure:
        """See UserRepository."""
        return replace(await super().erase(user_id, now, cause), is_new=True)


class LeavesConflicts(MemoryUserRepository):
    """A repository that erases a user, and leaves the conflicts with the others."""

    async def erase(self, user_id: str, now: datetime, cause: Cause) -> Erasure:
        """See UserRepository."""
        conflicts = self._conflicts
        erased = await super().erase(user_id, now, cause)
        self._conflicts = conflicts
        return erased


class ForgetsMergedIds(MemoryUserRepository):
    """A repository whose erasure names the remaining user alone."""

    async def erase(self, user_id: str, now: datetime, cause: Cause) -> Erasure:
        """See UserRepository."""
        erased = await super().erase(user_id, now, cause)
        return replace(erased, ids=erased.ids[:1])


class RevokesAgain(MemoryUserRepository):
    """A repository that ignores the id of a revocation."""

    async def revoke_consent(
        self, user_id: str, fields: frozenset[str], now: datetime, cause: Cause, event_id: str | None = None
    ) -> User | None:
        """See UserRepository."""
        self._revocations.clear()
        return await super().revoke_consent(user_id, fields, now, cause, event_id)


class RevokesAll(MemoryUserRepository):
    """A repository that removes every value that may be revoked."""

    async def revoke_consent(
        self, user_id: str, fields: frozenset[str], now: datetime, cause: Cause, event_id: str | None = None
    ) -> User | None:
        """See UserRepository."""
        everything = frozenset({"phone", "name", "avatar"})
        return await super().revoke_consent(user_id, everything, now, cause, event_id)


class RecordsFieldsOnly(MemoryUserRepository):
    """A repository that makes no event of a revocation without fields."""

    async def revoke_consent(
        self, user_id: str, fields: frozenset[str], now: datetime, cause: Cause, event_id: str | None = None
    ) -> User | None:
        """See UserRepository."""
        if fields:
            return await super().revoke_consent(user_id, fields, now, cause, event_id)
        return await self.get(user_id)


class CreatesByUnionId(MemoryUserRepository):
    """A repository that creates a user for a unionid that arrives without a login."""

    async def add_unionid(self, identity: Identity, now: datetime) -> User:
        """See UserRepository."""
        user, _ = await self.find_or_create(identity, now)
        return user


@pytest.mark.parametrize(
    ("repository", "promise"),
    [
        (Hides, erasure.test_an_erased_user_is_gone),
        (Hides, erasure.test_the_next_login_is_a_new_user),
        (ErasesAgain, erasure.test_an_erasure_is_idempotent),
        (ErasesAgain, partial(erasure.test_of_erasures_at_once_one_is_the_first, turns=0)),
        (LeavesConflicts, erasure.test_an_erased_user_is_gone),
        (ForgetsMergedIds, partial(erasure.test_an_erasure_erases_who_was_merged, which="the merged")),
        (CreatesByUnionId, erasure.test_a_unionid_is_not_added_to_an_erased_user),
        (RevokesAgain, revocations.test_a_revocation_happens_once),
        (RevokesAll, revocations.test_only_the_revoked_fields_are_emptied),
        (RevokesAll, revocations.test_a_revocation_of_nothing_stored_is_an_event_only),
        (RevokesAll, partial(erasure.test_a_revoked_consent_removes_these_fields, fields={"phone"})),
    ],
)
async def test_the_suites_of_erasures_and_revocations_catch(
    repository: type[MemoryUserRepository], promise: Promise, clock: Clock
) -> None:
    """A repository with a planted bug fails the test of the promise that the bug breaks."""
    with pytest.raises(CAUGHT):
        await promise(repository(), clock)


async def test_a_revocation_without_an_event_is_caught(clock: Clock) -> None:
    """A repository that makes no event of a revocation without fields fails the test of events."""
    published = Kept()
    recorded = user_events.Recorded(RecordsFieldsOnly(published.publish), clock, published)
    with pytest.raises(CAUGHT):
        await user_events.test_a_revoked_consent_has_one_event(recorded, frozenset())


class Searching(MemoryUserRepository):
    """A repository that changes its queries or their results. Without a bug, it changes nothing."""

    def changed_query(self, query: UserQuery) -> UserQuery:
        """Return the query to send."""
        return query

    def changed_result(self, found: list[User]) -> list[User]:
        """Return the users to return."""
        return found

    async def find_users(self, query: UserQuery) -> list[User]:
        """See UserRepository."""
        return self.changed_result(await super().find_users(self.changed_query(query)))


class IgnoresEmptyText(Searching):
    """A repository that takes an empty text for no filter."""

    def changed_query(self, query: UserQuery) -> UserQuery:
        """Return the query to send."""
        return UserQuery(
            query.openid or None, query.phone or None, query.unionid or None, query.id or None, query.before
        )


class IgnoresOneFilter(Searching):
    """A repository that ignores the openid if there is an id."""

    def changed_query(self, query: UserQuery) -> UserQuery:
        """Return the query to send."""
        return replace(query, openid=None) if query.id else query


class SkipsOne(Searching):
    """A repository whose later pages lack their first user."""

    async def find_users(self, query: UserQuery) -> list[User]:
        """See UserRepository."""
        found = await super().find_users(query)
        return found[1:] if query.before else found


class IgnoresTheLimit(Searching):
    """A repository that returns as many users as there are."""

    def changed_query(self, query: UserQuery) -> UserQuery:
        """Return the query to send."""
        return replace(query, limit=10_000)


class OldestFirst(Searching):
    """A repository that returns the oldest first."""

    def changed_result(self, found: list[User]) -> list[User]:
        """Return the users to return."""
        return found[::-1]


class OmitsAccounts(Searching):
    """A repository that returns users without their accounts, as `find_or_create` may."""

    def changed_result(self, found: list[User]) -> list[User]:
        """Return the users to return."""
        return [replace(user, accounts=()) for user in found]


class OmitsBlocks(Searching):
    """A repository that returns users as if none were blocked."""

    def changed_result(self, found: list[User]) -> list[User]:
        """Return the users to return."""
        return [replace(user, blocked_at=None) for user in found]


class FindsNoMerged(Searching):
    """A repository that finds a user by the last id alone."""

    async def find_users(self, query: UserQuery) -> list[User]:
        """See UserRepository."""
        found = await super().find_users(query)
        return [user for user in found if query.id in (None, user.id)]


@pytest.mark.parametrize(
    ("repository", "promise"),
    [
        (IgnoresEmptyText, partial(search.test_any_text_can_be_searched_for, field="openid", text="")),
        (IgnoresOneFilter, search.test_all_filters_must_match),
        (SkipsOne, search.test_pages_have_each_user_once_newest_first),
        (IgnoresTheLimit, search.test_without_filters_the_newest_users_are_found),
        (OldestFirst, search.test_an_openid_is_found_in_every_app),
        (OldestFirst, search.test_pages_have_each_user_once_newest_first),
        (OmitsAccounts, search.test_users_are_found_by_each_field),
        (OmitsBlocks, search.test_a_blocked_user_is_found_with_the_block),
        (FindsNoMerged, search.test_a_merged_id_finds_the_remaining_user),
    ],
)
async def test_the_suite_of_searches_catches(
    repository: type[MemoryUserRepository], promise: Promise, clock: Clock
) -> None:
    """A repository with a planted bug fails the test of the promise that the bug breaks."""
    with pytest.raises(CAUGHT):
        await promise(repository(), clock)


class ChecksThenBinds(SqlUserRepository):
    """A repository that looks for the number in one transaction, and binds it in another."""

    async def bind_phone(self, user_id: str, phone: PhoneNumber, now: datetime, cause: Cause) -> User:
        """See UserRepository."""
        others = select(user_rows.c.id).where(user_rows.c.phone == phone.value, user_rows.c.id != user_id)
        if await self._database.read(lambda connection: connection.execute(others).first()):
            raise PhoneTaken
        return await SqlUserRepository(self._database).bind_phone(user_id, phone, now, cause)


@pytest.mark.parametrize("user_place", DATABASES, indirect=True)
async def test_a_number_that_is_checked_and_then_bound_is_caught(
    user_place: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A repository that binds a number in two transactions fails the test of forty calls at once."""
    monkeypatch.setattr(unique_phones, "SqlUserRepository", ChecksThenBinds)
    with pytest.raises(CAUGHT):
        await unique_phones.test_of_forty_calls_at_once_one_user_has_the_number(user_place, clock)


@pytest.mark.parametrize("user_place", DATABASES, indirect=True)
@pytest.mark.parametrize("when", ["before the erasure", "after it"])
async def test_an_address_that_stays_is_caught(
    user_place: str, when: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A repository that leaves addresses in the events of an erased user fails the test of them."""
    if when == "before the erasure":
        monkeypatch.setattr("adapters.sql.user_erasure._forget_addresses", lambda *_arguments: None)
    else:
        monkeypatch.setattr("adapters.sql.events._find_erased", lambda *_arguments: set())
    with pytest.raises(CAUGHT):
        await erasure.test_the_events_of_an_erased_user_have_no_address(user_place, clock)


@pytest.mark.parametrize("user_place", DATABASES, indirect=True)
async def test_records_without_what_waits_are_caught(
    user_place: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A repository whose records have no event that waits for a webhook fails the test of them."""
    monkeypatch.setattr("adapters.sql.user_records._waiting", lambda _rows: ())
    with pytest.raises(CAUGHT):
        await erasure.test_records_have_events_that_wait_for_webhooks(user_place, clock)


class EndsLiveSessionsOnly(RedisSessionStore):
    """A store whose erasure leaves the records of expired sessions."""

    async def erase(self, user_id: str, now: datetime, cause: Cause, last: str | None = None) -> int:
        """See SessionStore."""
        live = [each for each in await self.list_for_user(user_id) if each.is_live(now)]
        return await self.end(live, EndReason.ENDED, now, cause.without_address())


class ErasesNothing(RedisSessionStore):
    """A store whose erasure leaves the sessions until they expire."""

    async def erase(self, user_id: str, now: datetime, cause: Cause, last: str | None = None) -> int:
        """See SessionStore."""
        return 0


class KeepsTheAddress(RedisSessionStore):
    """A store whose events of an erasure have the address of the user."""

    async def erase(self, user_id: str, now: datetime, cause: Cause, last: str | None = None) -> int:
        """See SessionStore."""
        return await self.end(await self.list_for_user(user_id), EndReason.ENDED, now, cause)


class EndsSessionsFirst(RedisSessionStore):
    """A store that ends the live sessions before it deletes the rest."""

    async def erase(self, user_id: str, now: datetime, cause: Cause, last: str | None = None) -> int:
        """See SessionStore."""
        live = [each for each in await self.list_for_user(user_id) if each.is_live(now)]
        ended = await self.end(live, EndReason.ENDED, now, cause.without_address())
        return ended + await super().erase(user_id, now, cause, last)


class IgnoresTheCaller(RedisSessionStore):
    """A store that ends the session of the caller with the others."""

    async def erase(self, user_id: str, now: datetime, cause: Cause, last: str | None = None) -> int:
        """See SessionStore."""
        return await super().erase(user_id, now, cause)


class LeavesFailedStarts(RedisSessionStore):
    """A store that leaves what a start that failed has stored."""

    async def _discard(self, session: Session) -> None:
        """Do nothing."""


class KeepsKeys(RedisKeyVault):
    """A vault that erases nothing."""

    async def erase(self, user_id: str, accounts: Sequence[Identity]) -> None:
        """See KeyVault."""


def open_planted(
    redis: RedisClient,
    store: type[RedisSessionStore],
    vault: type[RedisKeyVault],
    encryption_keys: Sequence[str],
    policy: EventPolicy = DEFAULT_POLICY,
) -> tuple[SessionStore, KeyVault]:
    """Return a store and a vault, one of them with a bug."""
    planted = vault(redis, SivCipher(encryption_keys))
    return store(redis, planted, policy), planted


async def everything_is_gone(scenario: Scenario, _clock: Clock) -> None:
    """Run the test of sessions and keys."""
    service = session_erasure.Service(scenario)
    await session_erasure.test_an_erasure_ends_all_sessions_and_deletes_the_keys(service)


async def expired_are_gone(scenario: Scenario, clock: Clock) -> None:
    """Run the test of expired sessions."""
    await session_erasure.test_expired_sessions_are_erased(scenario, session_erasure.Service(scenario), clock)


async def events_are_quiet(scenario: Scenario, _clock: Clock) -> None:
    """Run the test of events."""
    await session_erasure.test_the_events_of_an_erasure_say_which_sessions_ended(scenario)


async def repeats_finish(scenario: Scenario, _clock: Clock) -> None:
    """Run the test of interruptions with a user who repeats the erasure."""
    service = session_erasure.Service(scenario)
    await session_erasure.check_interruptions(scenario, service, "the user", "remaining", "a merge")


@pytest.mark.parametrize(
    ("session_place", "store", "vault", "promise"),
    [
        ("redis", ErasesNothing, RedisKeyVault, everything_is_gone),
        ("redis", RedisSessionStore, KeepsKeys, everything_is_gone),
        ("redis", EndsLiveSessionsOnly, RedisKeyVault, expired_are_gone),
        ("redis", KeepsTheAddress, RedisKeyVault, events_are_quiet),
        ("redis", EndsSessionsFirst, RedisKeyVault, repeats_finish),
        ("redis", IgnoresTheCaller, RedisKeyVault, repeats_finish),
    ],
    indirect=["session_place"],
)
async def test_the_suite_of_erased_sessions_catches(
    session_place: str, store: type[RedisSessionStore], vault: type[RedisKeyVault], promise: Promise, clock: Clock
) -> None:
    """A session store or a vault that leaves something of an erased user fails the test."""
    async with open_environment(session_place) as environment, create_client(session_place) as redis:
        with_bug = replace(environment, open=partial(open_planted, redis, store, vault))
        with pytest.raises(CAUGHT):
            await promise(Scenario(with_bug, clock), clock)


@pytest.mark.parametrize("session_place", ["redis", "redis-cluster"], indirect=True)
async def test_what_a_failed_start_leaves_is_caught(session_place: str, clock: Clock) -> None:
    """A store that deletes nothing after a start that failed fails the tests of such starts."""
    async with open_environment(session_place) as environment, create_client(session_place) as redis:
        opened = partial(open_planted, redis, LeavesFailedStarts, RedisKeyVault)
        scenario = Scenario(replace(environment, open=opened), clock)
        with pytest.raises(CAUGHT):
            await failed_starts.check_refused_member(scenario, session_place)
        with pytest.raises(CAUGHT):
            await failed_starts.check_each_command(scenario, session_place, "the answer", open_leaving)


def open_leaving(
    redis: RedisClient, encryption_keys: Sequence[str], policy: EventPolicy
) -> tuple[SessionStore, KeyVault]:
    """Return a store that leaves what a start that failed has stored."""
    return open_planted(redis, LeavesFailedStarts, RedisKeyVault, encryption_keys, policy)
