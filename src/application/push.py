"""Carry out what WeChat pushes: a withdrawn consent, a cancelled account."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

from application.own_data import OwnData
from application.ports.push_forwarder import PushForwarder
from application.ports.push_reader import PushReader
from application.ports.push_store import PushStore
from application.ports.user_repository import UserRepository
from domain.errors import NotFound, RequestInvalid, StoreUnavailable
from domain.event import WECHAT
from domain.identity import AppId, Identity
from domain.push import FIELDS_OF_CONSENT, WINDOW, Handled, Push, PushOutcome, PushType, RawPush

APPLY_SECONDS = 0.8
"""How long the stores of users may take, in seconds, without the time in which a silent one is given up.

WeChat waits for five seconds. All steps together take two at most.
"""

STORE_SECONDS = 0.25
"""How long one call to the PushStore may take, in seconds."""

RETENTION = 2 * WINDOW
"""How long a handled push is remembered: as long as a repeat of it can pass the check of its timestamp."""

RETRY_SECONDS = 5.0
"""The pause between two attempts to apply postponed pushes, in seconds."""

NO_FIELDS: frozenset[str] = frozenset()


class Pushes:
    """Receives what WeChat pushes.

    - A repeat changes nothing. It is recognized by PushStore, and beyond its retention by the id of the event.
    - A push about an account that is newer than the push changes nothing.
    - A push about an account that is not known changes nothing.
    - While the stores of users are away, a push is postponed, and applied when they are back.
    - Events that do not concern this service are forwarded, if there is a forwarder.
    """

    def __init__(
        self,
        reader: PushReader,
        users: UserRepository,
        own_data: OwnData,
        store: PushStore,
        forwarder: PushForwarder | None,
        apps: Collection[AppId],
    ) -> None:
        self._reader = reader
        self._users = users
        self._own_data = own_data
        self._store = store
        self._forwarder = forwarder
        self._apps = apps

    def check_address(self, appid: str, raw: RawPush) -> str:
        """Return the answer to WeChat's check of the address. Raises PushRefused and NotFound."""
        return self._reader.read_check(self._app(appid), raw)

    async def receive(self, appid: str, raw: RawPush) -> Handled:
        """Handle a push, and return what became of it.

        Raises PushRefused and NotFound. WeChat should repeat a push that raises PushNotForwarded or StoreUnavailable.
        """
        push = self._reader.read(self._app(appid), raw)
        if await self._was_handled(push):
            return Handled(push, PushOutcome.REPEATED)
        handled = await (self._apply_or_postpone(push) if push.type else self._forward(push, raw))
        if handled.outcome not in (PushOutcome.POSTPONED, PushOutcome.IGNORED):
            with suppress(StoreUnavailable, TimeoutError):  # then a repeat is handled again
                async with asyncio.timeout(STORE_SECONDS):
                    await self._store.mark_handled(push.id, RETENTION)
        return handled

    async def apply_postponed(self) -> AsyncIterator[Handled]:
        """Apply pushes that were postponed, and yield what became of each. Raises StoreUnavailable."""
        for push in await self._store.postponed():
            handled = await self._apply(push)
            await self._store.remove(push)
            yield handled

    def _app(self, appid: str) -> AppId:
        with suppress(RequestInvalid):
            if (app := AppId(appid)) in self._apps:
                return app
        raise NotFound("There is no such path")

    async def _was_handled(self, push: Push) -> bool:
        try:
            async with asyncio.timeout(STORE_SECONDS):
                return await self._store.was_handled(push.id)
        except (StoreUnavailable, TimeoutError):
            return False  # a repeat may be forwarded again, but changes no user

    async def _forward(self, push: Push, raw: RawPush) -> Handled:
        if self._forwarder is None:
            return Handled(push, PushOutcome.IGNORED)
        await self._forwarder.forward(raw)
        return Handled(push, PushOutcome.FORWARDED)

    async def _apply_or_postpone(self, push: Push) -> Handled:
        try:
            async with asyncio.timeout(APPLY_SECONDS):
                return await self._apply(push)
        except (StoreUnavailable, TimeoutError) as error:
            if await self._is_postponed_durably(push):
                return Handled(push, PushOutcome.POSTPONED)
            raise StoreUnavailable("The database does not answer in time: WeChat should repeat the push") from error

    async def _is_postponed_durably(self, push: Push) -> bool:
        try:
            async with asyncio.timeout(STORE_SECONDS):
                return await self._store.postpone(push)
        except (StoreUnavailable, TimeoutError):
            return False

    async def _apply(self, push: Push) -> Handled:
        try:
            return await self._apply_to_user(push)
        except NotFound:  # the user was erased meanwhile
            return Handled(push, PushOutcome.UNKNOWN_USER)

    async def _apply_to_user(self, push: Push) -> Handled:
        user = await self._users.find_account(Identity(push.appid, push.openid)) if push.openid else None
        if user is None:
            return Handled(push, PushOutcome.UNKNOWN_USER)
        if push.time + timedelta(seconds=1) <= user.created_at:  # WeChat gives whole seconds
            return Handled(push, PushOutcome.OUTDATED, user.id)
        match push.type:
            case PushType.ACCOUNT_CANCELLED:
                await self._own_data.erase_found(user.id, WECHAT)
                return Handled(push, PushOutcome.ERASED, user.id)
            case PushType.CONSENT_REVOKED:
                return Handled(push, await self._revoke(push), user.id)
            case _:
                return Handled(push, PushOutcome.RECORDED, user.id)

    async def _revoke(self, push: Push) -> PushOutcome:
        """Forget what each withdrawn consent covered."""
        outcome = PushOutcome.REPEATED if push.revoked else PushOutcome.RECORDED
        for number in push.revoked:
            fields = FIELDS_OF_CONSENT.get(number, NO_FIELDS)
            revoked = await self._own_data.revoke_consent(
                push.appid,
                push.openid or "",
                fields,
                replace(WECHAT, reason=str(number)),
                event_id=push.event_id(number),
            )
            if revoked and outcome is not PushOutcome.FORGOTTEN:
                outcome = PushOutcome.FORGOTTEN if fields else PushOutcome.RECORDED
        return outcome
