"""The access token broker: one token for each app, shared by all processes and hosts."""

import asyncio
import logging
import uuid
from contextlib import suppress
from datetime import datetime, timedelta

from application.ports.access_token_issuer import AccessTokenIssuer
from application.ports.access_token_store import AccessTokenStore
from application.ports.clock import Clock
from application.shared_tasks import SharedTasks
from domain.access_token import AccessToken, AccessTokenState, Refusal
from domain.errors import AppMisconfigured, IdentityProviderUnavailable, StoreUnavailable, WxLoginError, error_named
from domain.identity import AppId

POLL_SECONDS = 0.05
"""How often a process without a token checks whether another process has fetched it."""

PAUSE = timedelta(seconds=10)
"""How long no process asks WeChat again after AppMisconfigured, or after WeChat returned the old token."""

logger = logging.getLogger("wxlogin.access_tokens")


class AccessTokens:
    """Returns the access token of an app.

    - A valid token comes from the memory of this process.
    - In its last minutes it is renewed in the background. WeChat accepts the old one until it expires.
    - One process fetches at a time. It holds a lease, which expires if the process dies.
    - When WeChat refuses, no process asks again until the `retry_after` of the error is over.
    - `force_refresh` is never used: it would invalidate the token of other programs.

    `lease` is the maximum time of a fetch. Login does not use access tokens.
    """

    def __init__(self, issuer: AccessTokenIssuer, store: AccessTokenStore, *, lease: timedelta, clock: Clock) -> None:
        self._issuer = issuer
        self._store = store
        self._lease = lease
        self._clock = clock
        self._known: dict[AppId, AccessToken] = {}
        self._fetches: SharedTasks[AppId, AccessToken] = SharedTasks()

    async def get(self, appid: AppId) -> AccessToken:
        """Return a valid token.

        Raises AppMisconfigured, RateLimited, IdentityProviderUnavailable, IdentityProviderBadResponse and
        StoreUnavailable if there is none.
        """
        now = self._clock()
        token = self._known.get(appid) or (await self._store.load(appid)).token
        if token is None or not token.is_live(now):
            return await self._fetches.wait(appid, lambda: self._fetch(appid))
        self._known[appid] = token
        if token.is_due(now):
            self._fetches.start(appid, lambda: self._fetch(appid))
        return token

    async def renew(self, appid: AppId, refused: AccessToken) -> AccessToken:
        """Return a token other than `refused`, which WeChat did not accept. Raises as `get`."""
        if self._known.get(appid) == refused:
            del self._known[appid]
        token = await self._fetches.wait(appid, lambda: self._fetch(appid))
        while token.value == refused.value:
            token = await self._fetches.wait(appid, lambda: self._fetch(appid, refused))
        return token

    async def prove(self, appid: AppId) -> None:
        """Ask WeChat for a token without using the stored one, to check the credentials.

        Raises AppMisconfigured, RateLimited, IdentityProviderUnavailable and IdentityProviderBadResponse.
        """
        await self._issuer.issue_token(appid, self._clock())

    async def aclose(self) -> None:
        """Cancel the fetches under way."""
        await self._fetches.aclose()

    async def _fetch(self, appid: AppId, refused: AccessToken | None = None) -> AccessToken:
        self._known[appid] = token = await self._load_or_issue(appid, refused)
        return token

    async def _load_or_issue(self, appid: AppId, refused: AccessToken | None) -> AccessToken:
        """Return the shared token. Fetches it with the lease, else waits for the process that has the lease."""
        holder = str(uuid.uuid4())
        give_up_at = self._clock() + 2 * self._lease
        while True:
            state = await self._store.load(appid)
            if token := _usable_token(state, refused, self._clock()):
                return token
            if await self._store.acquire_lease(appid, holder, self._clock(), self._lease):
                return await self._issue(appid, holder, refused)
            if self._clock() >= give_up_at:
                raise IdentityProviderUnavailable("Another process has been fetching the access token for too long")
            await asyncio.sleep(POLL_SECONDS)

    async def _issue(self, appid: AppId, holder: str, refused: AccessToken | None) -> AccessToken:
        """Fetch the token with the lease, unless another process has fetched it just before."""
        now = self._clock()
        state = await self._store.load(appid)
        try:
            token = _usable_token(state, refused, now)
            if token is None:
                state = await self._ask(appid, state.token, refused, now)
                token = _usable_token(state, refused, now)
            assert token  # noqa: S101  # the new state has a token, or its refusal was raised
            return token
        finally:
            with suppress(StoreUnavailable):  # the lease expires, and the token is valid
                await self._store.save_and_release(appid, holder, state)

    async def _ask(
        self, appid: AppId, known: AccessToken | None, refused: AccessToken | None, now: datetime
    ) -> AccessTokenState:
        """Ask WeChat for a token, and return the new state: a token, a refusal, or both."""
        try:
            token = await self._issuer.issue_token(appid, now)
            if refused and token.value == refused.value:
                raise IdentityProviderUnavailable("The identity provider refuses the access token that it issued")
        except WxLoginError as error:
            logger.warning("no new access token for %s: %s", appid, error)
            pause = PAUSE if isinstance(error, AppMisconfigured) else error.retry_after
            return AccessTokenState(known, _refusal(error, now + pause))
        if not token.is_due(now):
            return AccessTokenState(token)
        # WeChat issued the old token again: the clocks differ, or its tokens have short lives
        return AccessTokenState(token, _refusal(IdentityProviderUnavailable(), min(now + PAUSE, token.expires_at)))


def _usable_token(state: AccessTokenState, refused: AccessToken | None, now: datetime) -> AccessToken | None:
    """Return the token if none has to be fetched, else None. Raises the last refusal while it is in force."""
    token = state.token
    if token and refused and token.value == refused.value:
        token = None
    if token and not token.is_due(now):
        return token
    if state.refusal and now < state.refusal.until:
        if token and token.is_live(now):
            return token
        raise _error(state.refusal)
    return None


def _refusal(error: WxLoginError, until: datetime) -> Refusal:
    return Refusal(error.code, error.detail, until, error.errcode, error.rid)


def _error(refusal: Refusal) -> WxLoginError:
    return error_named(refusal.code)(refusal.detail, errcode=refusal.errcode, rid=refusal.rid)
