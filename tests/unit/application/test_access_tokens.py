"""One access token of each app, shared by all processes."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from adapters.memory.access_token_issuer import MemoryAccessTokenIssuer
from adapters.memory.access_token_store import MemoryAccessTokenStore
from application.access_tokens import AccessTokens
from domain.access_token import AccessToken, AccessTokenState
from domain.errors import (
    AppMisconfigured,
    IdentityProviderUnavailable,
    RateLimited,
    Retry,
    StoreUnavailable,
    WxLoginError,
)
from domain.identity import AppId, code_may_be_spent
from support.clock import Clock

pytestmark = pytest.mark.anyio

APP, OTHER_APP = AppId("wx0000000000000001"), AppId("wx0000000000000002")
LEASE = timedelta(seconds=7)
LIFETIME = timedelta(hours=2)
A_RID = "6374a1b2-0c3d4e5f-12ab34cd"


class Issuer(MemoryAccessTokenIssuer):
    """An issuer in memory that counts its calls, and that refuses, waits or repeats a token when a test requests it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.error: WxLoginError | None = None
        self.always: AccessToken | None = None
        self.open = asyncio.Event()
        self.open.set()

    async def issue_token(self, appid: AppId, now: datetime) -> AccessToken:
        """See AccessTokenIssuer."""
        self.asked += 1
        await self.open.wait()
        if self.error:
            raise self.error
        return self.always or await super().issue_token(appid, now)

    def kill_token(self, appid: AppId) -> None:
        """Make the next call return another token, as a forced refresh by another program does."""
        del self._newest[appid]


class Store(MemoryAccessTokenStore):
    """A token store that counts its reads, and that a test can stop."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded = 0
        self.is_down = False

    async def load(self, appid: AppId) -> AccessTokenState:
        """See AccessTokenStore."""
        self.loaded += 1
        self._answer()
        return await super().load(appid)

    async def acquire_lease(self, appid: AppId, holder: str, now: datetime, lease: timedelta) -> bool:
        """See AccessTokenStore."""
        self._answer()
        await asyncio.sleep(0)
        return await super().acquire_lease(appid, holder, now, lease)

    async def save_and_release(self, appid: AppId, holder: str, state: AccessTokenState) -> None:
        """See AccessTokenStore."""
        self._answer()
        await super().save_and_release(appid, holder, state)

    def _answer(self) -> None:
        if self.is_down:
            raise StoreUnavailable("The database does not answer")


class OneWay(Store):
    """A token store that fails when a token is saved."""

    async def save_and_release(self, appid: AppId, holder: str, state: AccessTokenState) -> None:  # stores nothing
        """See AccessTokenStore."""
        raise StoreUnavailable


Process = Callable[[], AccessTokens]


@pytest.fixture
def issuer() -> Issuer:
    """WeChat's token issuer."""
    return Issuer()


@pytest.fixture
def tokens_store() -> Store:
    """The store that all processes share."""
    return Store()


@pytest.fixture
async def process(issuer: Issuer, tokens_store: Store, clock: Clock) -> AsyncIterator[Process]:
    """Return a function that starts a process. All processes stop at the end of the test."""
    started: list[AccessTokens] = []

    def start() -> AccessTokens:
        started.append(AccessTokens(issuer, tokens_store, lease=LEASE, clock=clock))
        return started[-1]

    yield start
    for tokens in started:
        await tokens.aclose()


@pytest.fixture
def tokens(process: Process) -> AccessTokens:
    """A single process."""
    return process()


async def run_background_tasks() -> None:
    """Let background tasks run until their next wait."""
    for _ in range(20):
        await asyncio.sleep(0)


async def wait_until(condition: Callable[[], bool]) -> None:
    """Wait until the condition is true."""
    for _ in range(5000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it never came")


async def error_of(call: Awaitable[object]) -> WxLoginError:
    """Return the error that the call raises."""
    with pytest.raises(WxLoginError) as failed:
        await call
    return failed.value


async def test_a_token_is_fetched_once_and_stored(tokens: AccessTokens, issuer: Issuer, tokens_store: Store) -> None:
    """The first call asks WeChat for a token. Later calls ask neither WeChat nor the store."""
    first = await tokens.get(APP)
    loaded = tokens_store.loaded
    later = [await tokens.get(APP) for _ in range(5)]

    assert [first, *later] == issuer.issued * 6
    assert issuer.asked == 1
    assert tokens_store.loaded == loaded


async def test_each_app_has_its_own_token(tokens: AccessTokens, issuer: Issuer) -> None:
    """Concurrent calls for two apps return a different token for each app."""
    one, other = await asyncio.gather(tokens.get(APP), tokens.get(OTHER_APP))

    assert one != other
    assert [await tokens.get(APP), await tokens.get(OTHER_APP)] == [one, other]
    assert issuer.asked == 2


async def test_a_due_token_is_renewed_in_the_background(tokens: AccessTokens, issuer: Issuer, clock: Clock) -> None:
    """During a slow renewal, calls return the old token at once and WeChat is asked once.

    Then they return the new token.
    """
    old = await tokens.get(APP)
    clock.advance(seconds=(LIFETIME - timedelta(minutes=4)).total_seconds())
    issuer.open.clear()
    meanwhile = []
    for _ in range(5):
        meanwhile.append(await asyncio.wait_for(tokens.get(APP), timeout=5))
        await run_background_tasks()
    asked = issuer.asked
    issuer.open.set()
    await wait_until(lambda: len(issuer.issued) == 2)
    await run_background_tasks()

    assert meanwhile == [old] * 5
    assert asked == 2
    assert await tokens.get(APP) == issuer.issued[1] != old
    assert issuer.asked == 2


async def test_a_token_is_not_renewed_before_it_is_due(tokens: AccessTokens, issuer: Issuer, clock: Clock) -> None:
    """Until four minutes before its expiry, a token is not renewed."""
    old = await tokens.get(APP)
    clock.advance(seconds=(LIFETIME - timedelta(minutes=4)).total_seconds() - 0.001)
    token = await tokens.get(APP)
    await run_background_tasks()

    assert token == old
    assert issuer.asked == 1


async def test_a_call_waits_for_the_next_token_when_the_token_is_expired(
    tokens: AccessTokens, issuer: Issuer, clock: Clock
) -> None:
    """An expired token is not returned: the call waits for the next one."""
    old = await tokens.get(APP)
    clock.advance(seconds=LIFETIME.total_seconds())
    new = await tokens.get(APP)

    assert new == issuer.issued[1] != old


async def test_a_new_process_uses_the_shared_token(process: Process, issuer: Issuer, tokens_store: Store) -> None:
    """A new process reads the token of another process from the store once, and does not ask WeChat."""
    fetched = await process().get(APP)
    loaded = tokens_store.loaded
    second = process()

    assert [await second.get(APP), await second.get(APP)] == [fetched] * 2
    assert tokens_store.loaded == loaded + 1
    assert issuer.asked == 1


async def test_a_process_that_starts_in_the_overlap_does_not_wait(
    process: Process, issuer: Issuer, clock: Clock
) -> None:
    """A new process returns a shared token in its last minutes at once, even when WeChat's next token is slow."""
    old = await process().get(APP)
    clock.advance(seconds=(LIFETIME - timedelta(minutes=2)).total_seconds())
    issuer.open.clear()
    token = await asyncio.wait_for(process().get(APP), timeout=5)

    assert token == old


async def test_many_calls_of_many_processes_fetch_one_token(process: Process, issuer: Issuer) -> None:
    """Of 40 concurrent first calls in four processes, all get the same token, and WeChat is asked once."""
    processes = [process() for _ in range(4)]
    answers = await asyncio.gather(*(processes[number % 4].get(APP) for number in range(40)))

    assert set(answers) == set(issuer.issued)
    assert issuer.asked == 1


async def test_many_processes_renew_once(process: Process, issuer: Issuer, clock: Clock) -> None:
    """When a token becomes due in four processes at once, WeChat is asked once, and all processes get the new token."""
    processes = [process() for _ in range(4)]
    old = [await each.get(APP) for each in processes]
    clock.advance(seconds=(LIFETIME - timedelta(minutes=3)).total_seconds())
    meanwhile = await asyncio.gather(*(each.get(APP) for each in processes for _ in range(10)))
    await wait_until(lambda: not any(each._fetches for each in processes))
    new = [await each.get(APP) for each in processes]

    assert set(meanwhile) == set(old)
    assert new == [issuer.issued[1]] * 4
    assert issuer.asked == 2


async def test_waiting_processes_continue_after_a_dead_holders_lease(
    tokens: AccessTokens, issuer: Issuer, tokens_store: Store, clock: Clock
) -> None:
    """When a process dies during a fetch, the others wait until its lease expires, and no longer."""
    await tokens_store.acquire_lease(APP, "a process that died", clock.now, LEASE)
    waiting = asyncio.create_task(tokens.get(APP))
    await run_background_tasks()
    asked_meanwhile = issuer.asked
    clock.advance(seconds=LEASE.total_seconds())
    token = await asyncio.wait_for(waiting, timeout=5)

    assert asked_meanwhile == 0
    assert [token] == issuer.issued


async def test_a_call_fails_after_two_leases(tokens: AccessTokens, tokens_store: Store, clock: Clock) -> None:
    """When others hold the lease and no token arrives, a call fails after two leases."""
    await tokens_store.acquire_lease(APP, "a process that hangs", clock.now, timedelta(days=1))
    waiting = asyncio.create_task(tokens.get(APP))
    await run_background_tasks()
    clock.advance(seconds=2 * LEASE.total_seconds())

    assert isinstance(await asyncio.wait_for(error_of(waiting), timeout=5), IdentityProviderUnavailable)


async def test_waiting_calls_get_the_token_of_another_process(
    process: Process, tokens_store: Store, issuer: Issuer, clock: Clock
) -> None:
    """A call that waits for another process's fetch gets that token, and does not ask WeChat."""
    await tokens_store.acquire_lease(APP, "another process", clock.now, LEASE)
    waiting = [asyncio.create_task(process().get(APP)) for _ in range(3)]
    await run_background_tasks()
    theirs = AccessToken("theirs", clock.now + LIFETIME)
    await tokens_store.save_and_release(APP, "another process", AccessTokenState(theirs))

    assert await asyncio.wait_for(asyncio.gather(*waiting), timeout=5) == [theirs] * 3
    assert issuer.asked == 0


@pytest.mark.parametrize(
    ("error", "pause"),
    [
        (RateLimited("slower", errcode=45011, rid=A_RID), timedelta(minutes=1)),
        (AppMisconfigured("not on the whitelist", errcode=40164, rid=A_RID), timedelta(seconds=10)),
        (IdentityProviderUnavailable("busy", errcode=-1), timedelta(seconds=1)),
    ],
    ids=lambda value: getattr(value, "code", ""),
)
async def test_a_refusal_pauses_every_process(
    process: Process, issuer: Issuer, clock: Clock, error: WxLoginError, pause: timedelta
) -> None:
    """Until the pause after a refusal is over, all processes raise the same error and WeChat is not asked again."""
    issuer.error = error
    refused = await error_of(process().get(APP))
    clock.advance(seconds=pause.total_seconds() - 0.001)
    others = [await error_of(process().get(APP)) for _ in range(3)]
    asked = issuer.asked
    issuer.error = None
    clock.advance(seconds=0.001)
    token = await process().get(APP)

    assert {(type(e), e.detail, e.errcode, e.rid) for e in [refused, *others]} == {
        (type(error), error.detail, error.errcode, error.rid)
    }
    assert asked == 1
    assert [token] == issuer.issued


async def test_the_old_token_is_used_while_wechat_refuses_a_new_one(
    process: Process, issuer: Issuer, clock: Clock
) -> None:
    """While the old token is valid, a refused renewal disturbs neither this process nor a new one."""
    tokens = process()
    old = await tokens.get(APP)
    clock.advance(seconds=(LIFETIME - timedelta(minutes=4)).total_seconds())
    issuer.error = RateLimited("slower")
    served = []
    for _ in range(5):
        served += [await tokens.get(APP), await process().get(APP)]
        await wait_until(lambda: not tokens._fetches)
        clock.advance(seconds=10)

    assert set(served) == {old}
    assert issuer.asked == 2
    clock.advance(minutes=3, seconds=10)
    assert isinstance(await error_of(tokens.get(APP)), RateLimited)


async def test_a_refusal_in_the_background_is_logged(
    tokens: AccessTokens, issuer: Issuer, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """The log has a failed renewal, with its app and its reason, and no token."""
    old = await tokens.get(APP)
    clock.advance(seconds=(LIFETIME - timedelta(minutes=4)).total_seconds())
    issuer.error = AppMisconfigured("not on the whitelist")
    with caplog.at_level(logging.WARNING):
        await tokens.get(APP)
        await wait_until(lambda: bool(caplog.records))

    assert APP.value in caplog.text
    assert "not on the whitelist" in caplog.text
    assert old.value not in caplog.text


async def test_a_refused_token_is_replaced_by_the_shared_one(process: Process, issuer: Issuer) -> None:
    """When another process already has a newer token, a refused token is replaced by it and WeChat is not asked."""
    first, second = process(), process()
    (old,) = {await first.get(APP), await second.get(APP)}
    issuer.kill_token(APP)
    new = await first.renew(APP, old)
    asked = issuer.asked

    assert await second.renew(APP, old) == new != old
    assert await second.get(APP) == new
    assert issuer.asked == asked == 2


async def test_many_calls_with_one_refused_token_fetch_one_other(process: Process, issuer: Issuer) -> None:
    """When the same token is refused in 40 calls of four processes at once, all get the same new token."""
    processes = [process() for _ in range(4)]
    (old,) = {await each.get(APP) for each in processes}
    issuer.kill_token(APP)
    answers = await asyncio.gather(*(processes[number % 4].renew(APP, old) for number in range(40)))

    assert set(answers) == {issuer.issued[1]}
    assert issuer.asked == 2


async def test_a_refused_token_is_not_used_again_when_wechat_has_no_other(process: Process, issuer: Issuer) -> None:
    """When WeChat has no other token, no call returns the refused token, and WeChat is asked about it only once."""
    tokens = process()
    old = await tokens.get(APP)
    errors = [await error_of(each.renew(APP, old)) for each in (tokens, tokens, process())]

    assert {type(error) for error in errors} == {IdentityProviderUnavailable}
    assert issuer.asked == 2


async def test_a_late_refusal_of_an_old_token_fetches_nothing(tokens: AccessTokens, issuer: Issuer) -> None:
    """A late call with an old token gets the current token, which does not change."""
    old = await tokens.get(APP)
    issuer.kill_token(APP)
    new = await tokens.renew(APP, old)

    assert await tokens.renew(APP, old) == await tokens.get(APP) == new
    assert issuer.asked == 2


async def test_a_known_token_needs_no_store(
    tokens: AccessTokens, issuer: Issuer, tokens_store: Store, clock: Clock
) -> None:
    """While the store is down, a process uses its token until it expires. Then calls raise StoreUnavailable."""
    old = await tokens.get(APP)
    tokens_store.is_down = True
    clock.advance(seconds=(LIFETIME - timedelta(minutes=4)).total_seconds())
    served = [await tokens.get(APP)]
    await run_background_tasks()
    clock.advance(minutes=3, seconds=59)
    served.append(await tokens.get(APP))
    await run_background_tasks()
    clock.advance(seconds=1)

    assert served == [old, old]
    assert isinstance(await error_of(tokens.get(APP)), StoreUnavailable)
    assert issuer.asked == 1


async def test_a_first_token_needs_the_store(tokens: AccessTokens, issuer: Issuer, tokens_store: Store) -> None:
    """Without the store no process fetches a token, because each process would get its own token."""
    tokens_store.is_down = True

    assert isinstance(await error_of(tokens.get(APP)), StoreUnavailable)
    assert issuer.asked == 0


async def test_a_token_that_could_not_be_saved_is_used_by_its_process(issuer: Issuer, clock: Clock) -> None:
    """A process uses a token from WeChat even when the store fails to save it."""
    tokens = AccessTokens(issuer, OneWay(), lease=LEASE, clock=clock)

    assert [await tokens.get(APP), await tokens.get(APP)] == issuer.issued * 2
    assert issuer.asked == 1


async def test_cancelling_one_waiter_does_not_cancel_the_fetch(tokens: AccessTokens, issuer: Issuer) -> None:
    """A cancelled call does not cancel the fetch for other calls."""
    issuer.open.clear()
    impatient, patient = [asyncio.create_task(tokens.get(APP)) for _ in range(2)]
    await run_background_tasks()
    impatient.cancel()
    await run_background_tasks()
    issuer.open.set()

    assert [await patient] == issuer.issued
    assert impatient.cancelled()


async def test_a_shared_failure_asks_only_the_caller_that_sent_a_code_for_a_new_one(
    tokens: AccessTokens, issuer: Issuer
) -> None:
    """Of two callers that wait for one fetch, only the one that sent a code gets the advice `new_code`."""
    issuer.open.clear()
    issuer.error = IdentityProviderUnavailable("busy", errcode=-1, rid=A_RID)

    async def bind_phone() -> None:
        with code_may_be_spent():
            await tokens.get(APP)

    binding, drawing = [asyncio.create_task(error_of(call)) for call in (bind_phone(), tokens.get(APP))]
    await run_background_tasks()
    issuer.open.set()
    errors = [await binding, await drawing]

    assert [error.retry for error in errors] == [Retry.NEW_CODE, Retry.LATER]
    assert {(error.detail, error.errcode, error.rid) for error in errors} == {("busy", -1, A_RID)}
    assert issuer.asked == 1


async def test_a_close_cancels_pending_fetches(tokens: AccessTokens, issuer: Issuer, tokens_store: Store) -> None:
    """A close cancels the fetch and releases the lease for the next process."""
    issuer.open.clear()
    waiting = asyncio.create_task(tokens.get(APP))
    await wait_until(lambda: issuer.asked == 1)
    await tokens.aclose()
    await asyncio.gather(waiting, return_exceptions=True)
    issuer.open.set()
    await run_background_tasks()

    assert waiting.cancelled()
    assert issuer.issued == []
    assert tokens_store._leases == {}


async def test_a_close_does_not_change_the_shared_token(
    process: Process, issuer: Issuer, tokens_store: Store, clock: Clock
) -> None:
    """A process that closes during a renewal leaves the shared token unchanged."""
    old = await process().get(APP)
    clock.advance(seconds=(LIFETIME - timedelta(minutes=4)).total_seconds())
    issuer.open.clear()
    stopped = process()
    await stopped.get(APP)
    await wait_until(lambda: issuer.asked == 2)
    await stopped.aclose()

    assert await tokens_store.load(APP) == AccessTokenState(old)


async def test_a_proof_of_credentials_always_asks_wechat(
    tokens: AccessTokens, issuer: Issuer, tokens_store: Store
) -> None:
    """A proof always asks WeChat, raises WeChat's error, and does not use the store."""
    await tokens.get(APP)
    await tokens.prove(APP)
    loaded = tokens_store.loaded
    issuer.error = AppMisconfigured("wrong")
    error = await error_of(tokens.prove(APP))

    assert error is issuer.error
    assert issuer.asked == 3
    assert tokens_store.loaded == loaded


@pytest.mark.parametrize("left", [timedelta(minutes=4), timedelta(minutes=2)], ids=str)
async def test_a_shared_token_that_is_due_is_renewed(
    tokens: AccessTokens, tokens_store: Store, issuer: Issuer, clock: Clock, left: timedelta
) -> None:
    """A shared token that is due is returned, but does not count as the renewed token."""
    old = AccessToken("old", clock.now + left)
    await tokens_store.acquire_lease(APP, "a process", clock.now, LEASE)
    await tokens_store.save_and_release(APP, "a process", AccessTokenState(old))
    first = await tokens.get(APP)
    await wait_until(lambda: not tokens._fetches)

    assert first == old
    assert [await tokens.get(APP)] == issuer.issued


async def test_a_token_is_in_no_error_and_no_repr(tokens: AccessTokens, issuer: Issuer) -> None:
    """Neither the broker nor its errors show a token."""
    old = await tokens.get(APP)
    error = await error_of(tokens.renew(APP, old))

    assert old.value not in f"{error!r} {error} {tokens!r} {replace(old)!r}"


async def test_a_due_token_from_wechat_is_not_renewed_at_every_call(
    process: Process, issuer: Issuer, clock: Clock
) -> None:
    """When WeChat returns a token that is already due, WeChat is asked at most once in ten seconds."""
    tokens = process()
    issuer.always = AccessToken("the same", clock.now + timedelta(minutes=3))
    await tokens.get(APP)
    for _ in range(20):
        await tokens.get(APP)
        await wait_until(lambda: not tokens._fetches)
    asked_at_once = issuer.asked
    clock.advance(seconds=10)
    await tokens.get(APP)
    await wait_until(lambda: not tokens._fetches)

    assert asked_at_once == 1
    assert issuer.asked == 2


async def test_a_token_of_one_second_is_used_for_one_second(process: Process, issuer: Issuer, clock: Clock) -> None:
    """A token with a lifetime of one second is used until it expires, and then replaced."""
    tokens = process()
    for number in range(3):
        issuer.always = AccessToken(f"token {number}", clock.now + timedelta(seconds=1))
        served = [await tokens.get(APP), await tokens.get(APP)]
        await wait_until(lambda: not tokens._fetches)

        assert served == [issuer.always] * 2
        clock.advance(seconds=1)
