"""The contract suites of DeviceGrantStore and TokenSigner fail on an adapter with a bug: each planted bug is caught."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from sqlalchemy import Connection, update

from adapters.jose.token_signer import JoseTokenSigner
from adapters.memory.device_grant_store import MemoryDeviceGrantStore
from adapters.redis.client import create_client
from adapters.redis.device_grant_store import RedisDeviceGrantStore
from adapters.sql.database import Database
from adapters.sql.device_grant_store import SqlDeviceGrantStore
from adapters.sql.schema import migrate
from adapters.sql.tables import device_grants
from application.ports.device_grant_store import DeviceGrantStore
from contract import test_device_grant_store as grants
from contract import test_token_signer as signers
from domain.device_grant import DeviceGrant, GrantState
from domain.event import Event
from domain.signed_token import Claims
from support.clock import Clock
from support.jwts import decoded
from support.servers import sqlite_url

pytestmark = pytest.mark.anyio

Promise = Callable[[DeviceGrantStore, Clock], Awaitable[None]]
"""A test of the suite of device grants."""


class ForgetsState(MemoryDeviceGrantStore):
    """A store that does not compare the state before a change."""

    async def replace(self, old: DeviceGrant, new: DeviceGrant, event: Event | None = None) -> bool:
        """See DeviceGrantStore."""
        self._grants[old.scene] = new
        return True


class KeepsFirstState(MemoryDeviceGrantStore):
    """A store that drops the session of an approval."""

    async def replace(self, old: DeviceGrant, new: DeviceGrant, event: Event | None = None) -> bool:
        """See DeviceGrantStore."""
        return await super().replace(old, replace(new, session_id=None), event)


class IgnoresCase(MemoryDeviceGrantStore):
    """A store that compares scenes as a database with a case-insensitive collation does."""

    async def find(self, scene: str) -> DeviceGrant | None:
        """See DeviceGrantStore."""
        return next((grant for known, grant in self._grants.items() if known.lower() == scene.lower()), None)


class ForgetsBrowser(MemoryDeviceGrantStore):
    """A store that drops the address of the browser."""

    async def add(self, grant: DeviceGrant) -> None:
        """See DeviceGrantStore."""
        await super().add(replace(grant, browser=replace(grant.browser, ip=None)))


class CountsAnswered(MemoryDeviceGrantStore):
    """A store for which a grant stays pending."""

    async def find_pending(self, scenes: Collection[str]) -> dict[str, GrantState]:
        """See DeviceGrantStore."""
        return {scene: self._grants[scene].state for scene in scenes if scene in self._grants}


class ForgetsLooks(MemoryDeviceGrantStore):
    """A store for which a pending grant is a new one."""

    async def find_pending(self, scenes: Collection[str]) -> dict[str, GrantState]:
        """See DeviceGrantStore."""
        return dict.fromkeys(await super().find_pending(scenes), GrantState.NEW)


class LetsAllDraw(MemoryDeviceGrantStore):
    """A store whose lease everyone gets."""

    async def acquire_drawing(self, scene: str, now: datetime, lease: timedelta) -> bool:
        """See DeviceGrantStore."""
        return scene in self._grants and scene not in self._pictures


class LeasesForever(MemoryDeviceGrantStore):
    """A store whose lease never ends."""

    async def acquire_drawing(self, scene: str, now: datetime, lease: timedelta) -> bool:
        """See DeviceGrantStore."""
        return await super().acquire_drawing(scene, now, timedelta(days=1))


class CutsPictures(MemoryDeviceGrantStore):
    """A store with a column of 64 KB for pictures."""

    async def save_picture(self, scene: str, picture: bytes) -> None:
        """See DeviceGrantStore."""
        await super().save_picture(scene, picture[:65_535])


class KeepsStrayPictures(MemoryDeviceGrantStore):
    """A store that keeps a picture without a grant."""

    async def save_picture(self, scene: str, picture: bytes) -> None:
        """See DeviceGrantStore."""
        self._pictures[scene] = picture


class PurgesNothing(MemoryDeviceGrantStore):
    """A store that keeps what is past its retention."""

    async def purge(self, now: datetime) -> int:
        """See DeviceGrantStore."""
        return 0


@pytest.mark.parametrize(
    ("store", "promise"),
    [
        (ForgetsState, grants.test_a_changed_grant_is_not_replaced),
        (ForgetsState, grants.test_one_of_many_changes_at_once_happens),
        (KeepsFirstState, grants.test_every_state_is_stored),
        (IgnoresCase, grants.test_scenes_differ_by_case),
        (ForgetsLooks, grants.test_pending_grants_are_found_together),
        (CountsAnswered, grants.test_pending_grants_are_found_together),
        (LetsAllDraw, grants.test_one_of_many_draws),
        (LeasesForever, grants.test_a_lease_to_draw_expires),
        (CutsPictures, grants.test_a_picture_is_stored_unchanged),
        (CutsPictures, grants.test_a_picture_of_a_megabyte_is_stored),
        (KeepsStrayPictures, grants.test_an_unknown_grant_has_no_picture),
        (PurgesNothing, grants.test_a_purge_deletes_what_is_past_its_retention),
    ],
    ids=lambda planted: planted.__name__,
)
async def test_the_suite_of_device_grants_catches(
    store: type[DeviceGrantStore], promise: Promise, clock: Clock
) -> None:
    """A store with a planted bug fails the test of the promise that the bug breaks."""
    with pytest.raises(AssertionError):
        await promise(store(), clock)


async def test_a_store_that_forgets_the_browser_is_caught(clock: Clock) -> None:
    """A store that drops a part of the grant fails the test."""
    with pytest.raises(AssertionError):
        await grants.test_a_grant_is_found_unchanged(ForgetsBrowser(), clock, grants.BROWSER, grants.NUMBERS)


class LosesRaces(SqlDeviceGrantStore):
    """A store on a database that updates a grant in whatever state it is."""

    async def replace(self, old: DeviceGrant, new: DeviceGrant, event: Event | None = None) -> bool:
        """See DeviceGrantStore."""

        def work(connection: Connection) -> bool:
            row = update(device_grants).where(device_grants.c.scene == old.scene)
            return connection.execute(row.values(state=new.state.value, user_id=new.user_id)).rowcount == 1

        return await self._database.write_one(work)


async def test_a_database_without_compare_and_set_is_caught(tmp_path: Path, clock: Clock) -> None:
    """A store on SQLite that does not compare the state fails the race."""
    async with Database(sqlite_url(tmp_path)) as database:
        await migrate(database)
        with pytest.raises(AssertionError):
            await grants.test_one_of_many_changes_at_once_happens(LosesRaces(database), clock)


class Immortal(RedisDeviceGrantStore):
    """A store on Redis whose keys never expire."""

    async def add(self, grant: DeviceGrant) -> None:
        """See DeviceGrantStore."""
        await super().add(grant)
        await self._redis.execute_command("PERSIST", f"wxlogin:g:{grant.scene}")


async def test_a_key_that_never_expires_is_caught(redis_url: str, clock: Clock) -> None:
    """A store on Redis that keeps grants for good fails the test."""
    async with create_client(redis_url) as redis:
        with pytest.raises(AssertionError):
            await grants.test_redis_deletes_all_of_a_grant_at_once(Immortal(redis), redis_url, clock)


class SignsWithLastKey(JoseTokenSigner):
    """A signer that signs with its last key."""

    def sign(self, claims: Claims) -> str:
        """See TokenSigner."""
        self._keys.reverse()
        self._header["kid"] = self._keys[0].kid
        return super().sign(claims)


class PublishesSecrets(JoseTokenSigner):
    """A signer that publishes its private keys."""

    def public_keys(self) -> Sequence[Mapping[str, str]]:
        """See TokenSigner."""
        return [{name: str(value) for name, value in key.as_dict(private=True).items()} for key in self._keys]


class TrustsAll(JoseTokenSigner):
    """A signer that reads claims without verifying the signature."""

    def verify(self, token: str) -> Mapping[str, Any] | None:
        """See TokenSigner."""
        claims: Mapping[str, Any] = decoded(token.split(".")[1])
        return claims


class TakesAnyType(JoseTokenSigner):
    """A signer that takes every JWT of its key for an access token."""

    def verify(self, token: str) -> Mapping[str, Any] | None:
        """See TokenSigner."""
        return super().verify(token) or jwt.decode(token, self._key_set).claims


@pytest.mark.parametrize(
    ("signer", "promise"),
    [
        (SignsWithLastKey, signers.test_the_first_key_signs_and_all_verify),
        (PublishesSecrets, signers.test_the_public_halves_are_published),
        (TrustsAll, signers.test_without_a_key_nothing_is_verified),
        (TrustsAll, partial(signers.test_a_forged_token_is_not_verified, wrong="a stranger's key under our kid")),
        (TakesAnyType, partial(signers.test_a_forged_token_is_not_verified, wrong="another type")),
    ],
)
async def test_the_suite_of_signers_catches(
    signer: type[JoseTokenSigner], promise: Callable[[signers.Open], None]
) -> None:
    """A signer with a planted bug fails the test of the promise that the bug breaks."""
    with pytest.raises(AssertionError):
        promise(lambda *keys: signer(keys))
