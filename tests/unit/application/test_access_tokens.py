"""One access token an app, for all processes."""

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
from domain.errors import AppMisconfigured, IdentityProviderUnavailable, RateLimited, StoreUnavailable, WxLoginError
from domain.identity import AppId
from support.clock import Clock

pytestmark = pytest.mark.anyio

APP, OTHER_APP = AppId("wx0000000000000001"), AppId("wx0000000000000002")
LEASE = timedelta(seconds=7)
LIFETIME = timedelta(hours=2)
A_RID = "6374a1b2-0c3d4e5f-12ab34cd"


class Issuer(MemoryAccessTokenIssuer):
    """WeChat without WeChat: it counts who asks, and refuses, forgets or waits when it is told to."""

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
        """What a forced token of somebody else does: the next call gives another one."""
        del self._newest[appid]


class Store(MemoryAccessTokenStore):
    """A token store that counts its reads, and that can be down."""

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
    """A token store that is gone when a token is to be kept."""

    async def save_and_release(self, appid: AppId, holder: str, state: AccessTokenState) -> None:  # it keeps nothing
        """See AccessTokenStore."""
        raise StoreUnavailable


Process = Callable[[], AccessTokens]


@pytest.fixture
def issuer() -> Issuer:
    """WeChat."""
    return Issuer()


@pytest.fixture
def tokens_store() -> Store:
    """What all processes share."""
    return Store()


@pytest.fixture
async def process(issuer: Issuer, tokens_store: Store, clock: Clock) -> AsyncIterator[Process]:
    """Starts a process; all are stopped in the end."""
    started: list[AccessTokens] = []

    def start() -> AccessTokens:
        started.append(AccessTokens(issuer, tokens_store, lease=LEASE, clock=clock))
        return started[-1]

    yield start
    for tokens in started:
        await tokens.aclose()


@pytest.fixture
def tokens(process: Process) -> AccessTokens:
    """The only process."""
    return process()


async def others_run() -> None:
    """Let what runs in the background come to its next wait."""
    for _ in range(20):
        await asyncio.sleep(0)


async def soon(condition: Callable[[], bool]) -> None:
    """Wait until it is so."""
    for _ in range(5000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it never came")


async def failure(call: Awaitable[object]) -> WxLoginError:
    """What the call raises."""
    with pytest.raises(WxLoginError) as failed:
        await call
    return failed.value


async def test_a_token_is_fetched_once_and_kept(tokens: AccessTokens, issuer: Issuer, tokens_store: Store) -> None:
    """The first call asks WeChat; those after it ask neither WeChat nor the store."""
    first = await tokens.get(APP)
    loaded = tokens_store.loaded
    later = [await tokens.get(APP) for _ in range(5)]

    assert [first, *later] == issuer.issued * 6
    assert issuer.asked == 1
    assert tokens_store.loaded == loaded


async def test_apps_have_tokens_of_their_own(tokens: AccessTokens, issuer: Issuer) -> None:
    """Two apps that are asked for at once get their own token each."""
    one, other = await asyncio.gather(tokens.get(APP), tokens.get(OTHER_APP))

    assert one != other
    assert [await tokens.get(APP), await tokens.get(OTHER_APP)] == [one, other]
    assert issuer.asked == 2


async def test_a_due_token_is_renewed_in_the_background(tokens: AccessTokens, issuer: Issuer, clock: Clock) -> None:
    """While WeChat takes its time, the old token serves at once and WeChat is asked once; then there is the new one."""
    old = await tokens.get(APP)
    clock.advance(seconds=(LIFETIME - timedelta(minutes=4)).total_seconds())
    issuer.open.clear()
    meanwhile = []
    for _ in range(5):
        meanwhile.append(await asyncio.wait_for(tokens.get(APP), timeout=5))
        await others_run()
    asked = issuer.asked
    issuer.open.set()
    await soon(lambda: len(issuer.issued) == 2)
    await others_run()

    assert meanwhile == [old] * 5
    assert asked == 2
    assert await tokens.get(APP) == issuer.issued[1] != old
    assert issuer.asked == 2


async def test_a_token_is_not_renewed_before_it_is_due(tokens: AccessTokens, issuer: Issuer, clock: Clock) -> None:
    """Until four minutes before its end, a token causes no work at all."""
    old = await tokens.get(APP)
    clock.advance(seconds=(LIFETIME - timedelta(minutes=4)).total_seconds() - 0.001)
    token = await tokens.get(APP)
    await others_run()

    assert token == old
    assert issuer.asked == 1


async def test_a_dead_token_is_waited_for(tokens: AccessTokens, issuer: Issuer, clock: Clock) -> None:
    """A token past its end is not handed out: the call gets the next one."""
    old = await tokens.get(APP)
    clock.advance(seconds=LIFETIME.total_seconds())
    new = await tokens.get(APP)

    assert new == issuer.issued[1] != old


async def test_a_new_process_takes_the_shared_token(process: Process, issuer: Issuer, tokens_store: Store) -> None:
    """What one process fetched is every other's, for one look into the store."""
    fetched = await process().get(APP)
    loaded = tokens_store.loaded
    second = process()

    assert [await second.get(APP), await second.get(APP)] == [fetched] * 2
    assert tokens_store.loaded == loaded + 1
    assert issuer.asked == 1


async def test_a_process_that_starts_in_the_overlap_waits_for_nobody(
    process: Process, issuer: Issuer, clock: Clock
) -> None:
    """A shared token in its last minutes serves a new process at once, though WeChat is slow with the next one."""
    old = await process().get(APP)
    clock.advance(seconds=(LIFETIME - timedelta(minutes=2)).total_seconds())
    issuer.open.clear()
    token = await asyncio.wait_for(process().get(APP), timeout=5)

    assert token == old


async def test_many_calls_of_many_processes_fetch_one_token(process: Process, issuer: Issuer) -> None:
    """Of 40 first calls at once in four processes, all get the same token, and WeChat is asked once."""
    processes = [process() for _ in range(4)]
    answers = await asyncio.gather(*(processes[number % 4].get(APP) for number in range(40)))

    assert set(answers) == set(issuer.issued)
    assert issuer.asked == 1


async def test_many_processes_renew_once(process: Process, issuer: Issuer, clock: Clock) -> None:
    """When a token gets due in four processes at once, WeChat is asked once, and all have the new one soon."""
    processes = [process() for _ in range(4)]
    old = [await each.get(APP) for each in processes]
    clock.advance(seconds=(LIFETIME - timedelta(minutes=3)).total_seconds())
    meanwhile = await asyncio.gather(*(each.get(APP) for each in processes for _ in range(10)))
    await soon(lambda: not any(each._fetching for each in processes))
    new = [await each.get(APP) for each in processes]

    assert set(meanwhile) == set(old)
    assert new == [issuer.issued[1]] * 4
    assert issuer.asked == 2


async def test_a_dead_holders_lease_ends(
    tokens: AccessTokens, issuer: Issuer, tokens_store: Store, clock: Clock
) -> None:
    """When a process dies while it fetches, the others wait for the end of its lease and no longer."""
    await tokens_store.acquire_lease(APP, "a process that died", clock.now, LEASE)
    waiting = asyncio.create_task(tokens.get(APP))
    await others_run()
    asked_meanwhile = issuer.asked
    clock.advance(seconds=LEASE.total_seconds())
    token = await asyncio.wait_for(waiting, timeout=5)

    assert asked_meanwhile == 0
    assert [token] == issuer.issued


async def test_a_call_fails_after_two_leases(tokens: AccessTokens, tokens_store: Store, clock: Clock) -> None:
    """When others hold the lease again and again and no token comes, a call fails after two leases."""
    await tokens_store.acquire_lease(APP, "a process that hangs", clock.now, timedelta(days=1))
    waiting = asyncio.create_task(tokens.get(APP))
    await others_run()
    clock.advance(seconds=2 * LEASE.total_seconds())

    assert isinstance(await asyncio.wait_for(failure(waiting), timeout=5), IdentityProviderUnavailable)


async def test_a_token_that_another_process_fetched_meanwhile_ends_the_waiting(
    process: Process, tokens_store: Store, issuer: Issuer, clock: Clock
) -> None:
    """Who waits for another process's fetch gets its token, and asks nobody."""
    await tokens_store.acquire_lease(APP, "another process", clock.now, LEASE)
    waiting = [asyncio.create_task(process().get(APP)) for _ in range(3)]
    await others_run()
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
async def test_a_refusal_holds_back_every_process(
    process: Process, issuer: Issuer, clock: Clock, error: WxLoginError, pause: timedelta
) -> None:
    """Until a refusal's time is over, all processes fail as the one that was refused, and nobody asks again."""
    issuer.error = error
    refused = await failure(process().get(APP))
    clock.advance(seconds=pause.total_seconds() - 0.001)
    others = [await failure(process().get(APP)) for _ in range(3)]
    asked = issuer.asked
    issuer.error = None
    clock.advance(seconds=0.001)
    token = await process().get(APP)

    assert {(type(e), e.detail, e.errcode, e.rid) for e in [refused, *others]} == {
        (type(error), error.detail, error.errcode, error.rid)
    }
    assert asked == 1
    assert [token] == issuer.issued


async def test_the_old_token_serves_while_wechat_refuses_a_new_one(
    process: Process, issuer: Issuer, clock: Clock
) -> None:
    """A refused renewal harms nobody while the old token lives: not this process, and none that starts now."""
    tokens = process()
    old = await tokens.get(APP)
    clock.advance(seconds=(LIFETIME - timedelta(minutes=4)).total_seconds())
    issuer.error = RateLimited("slower")
    served = []
    for _ in range(5):
        served += [await tokens.get(APP), await process().get(APP)]
        await soon(lambda: not tokens._fetching)
        clock.advance(seconds=10)

    assert set(served) == {old}
    assert issuer.asked == 2
    clock.advance(minutes=3, seconds=10)
    assert isinstance(await failure(tokens.get(APP)), RateLimited)


async def test_a_refusal_in_the_background_is_logged(
    tokens: AccessTokens, issuer: Issuer, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """An operator can read that a renewal failed, for which app and why, but no token."""
    old = await tokens.get(APP)
    clock.advance(seconds=(LIFETIME - timedelta(minutes=4)).total_seconds())
    issuer.error = AppMisconfigured("not on the whitelist")
    with caplog.at_level(logging.WARNING):
        await tokens.get(APP)
        await soon(lambda: bool(caplog.records))

    assert APP.value in caplog.text
    assert "not on the whitelist" in caplog.text
    assert old.value not in caplog.text


async def test_a_refused_token_is_replaced_by_the_shared_one(process: Process, issuer: Issuer) -> None:
    """When another process has a newer token already, a refused one is replaced by it and WeChat is not asked."""
    first, second = process(), process()
    (old,) = {await first.get(APP), await second.get(APP)}
    issuer.kill_token(APP)
    new = await first.renew(APP, old)
    asked = issuer.asked

    assert await second.renew(APP, old) == new != old
    assert await second.get(APP) == new
    assert issuer.asked == asked == 2


async def test_many_calls_with_one_refused_token_fetch_one_other(process: Process, issuer: Issuer) -> None:
    """When 40 calls in four processes are refused the same token at once, all go on with the same new one."""
    processes = [process() for _ in range(4)]
    (old,) = {await each.get(APP) for each in processes}
    issuer.kill_token(APP)
    answers = await asyncio.gather(*(processes[number % 4].renew(APP, old) for number in range(40)))

    assert set(answers) == {issuer.issued[1]}
    assert issuer.asked == 2


async def test_a_token_that_wechat_gives_out_and_refuses(process: Process, issuer: Issuer) -> None:
    """When WeChat has no other token, nobody gets the refused one again, and WeChat is not asked twice about it."""
    tokens = process()
    old = await tokens.get(APP)
    errors = [await failure(each.renew(APP, old)) for each in (tokens, tokens, process())]

    assert {type(error) for error in errors} == {IdentityProviderUnavailable}
    assert issuer.asked == 2


async def test_a_refused_token_that_is_long_replaced_costs_nothing(tokens: AccessTokens, issuer: Issuer) -> None:
    """A call that comes back late with an old token gets the one that is known, which stays."""
    old = await tokens.get(APP)
    issuer.kill_token(APP)
    new = await tokens.renew(APP, old)

    assert await tokens.renew(APP, old) == await tokens.get(APP) == new
    assert issuer.asked == 2


async def test_a_known_token_needs_no_store(
    tokens: AccessTokens, issuer: Issuer, tokens_store: Store, clock: Clock
) -> None:
    """While the store is down, a token that the process knows serves to its end, and then the store is missed."""
    old = await tokens.get(APP)
    tokens_store.is_down = True
    clock.advance(seconds=(LIFETIME - timedelta(minutes=4)).total_seconds())
    served = [await tokens.get(APP)]
    await others_run()
    clock.advance(minutes=3, seconds=59)
    served.append(await tokens.get(APP))
    await others_run()
    clock.advance(seconds=1)

    assert served == [old, old]
    assert isinstance(await failure(tokens.get(APP)), StoreUnavailable)
    assert issuer.asked == 1


async def test_a_first_token_needs_the_store(tokens: AccessTokens, issuer: Issuer, tokens_store: Store) -> None:
    """Without the store nobody fetches on its own: that would be one token a process."""
    tokens_store.is_down = True

    assert isinstance(await failure(tokens.get(APP)), StoreUnavailable)
    assert issuer.asked == 0


async def test_a_token_that_could_not_be_kept_serves_its_process(issuer: Issuer, clock: Clock) -> None:
    """A token that WeChat gave is good, though the store went away meanwhile."""
    tokens = AccessTokens(issuer, OneWay(), lease=LEASE, clock=clock)

    assert [await tokens.get(APP), await tokens.get(APP)] == issuer.issued * 2
    assert issuer.asked == 1


async def test_cancelling_one_waiter_does_not_cancel_the_fetch(tokens: AccessTokens, issuer: Issuer) -> None:
    """A client that hangs up while a token is fetched takes it from no other."""
    issuer.open.clear()
    impatient, patient = [asyncio.create_task(tokens.get(APP)) for _ in range(2)]
    await others_run()
    impatient.cancel()
    await others_run()
    issuer.open.set()

    assert [await patient] == issuer.issued
    assert impatient.cancelled()


async def test_closing_stops_what_is_pending(tokens: AccessTokens, issuer: Issuer, tokens_store: Store) -> None:
    """After a close nothing is fetched any more, and the lease is free for the next process at once."""
    issuer.open.clear()
    waiting = asyncio.create_task(tokens.get(APP))
    await soon(lambda: issuer.asked == 1)
    await tokens.aclose()
    await asyncio.gather(waiting, return_exceptions=True)
    issuer.open.set()
    await others_run()

    assert waiting.cancelled()
    assert issuer.issued == []
    assert tokens_store._leases == {}


async def test_closing_keeps_the_token_that_is_shared(
    process: Process, issuer: Issuer, tokens_store: Store, clock: Clock
) -> None:
    """A process that is stopped while it renews leaves the others the token that they have."""
    old = await process().get(APP)
    clock.advance(seconds=(LIFETIME - timedelta(minutes=4)).total_seconds())
    issuer.open.clear()
    stopped = process()
    await stopped.get(APP)
    await soon(lambda: issuer.asked == 2)
    await stopped.aclose()

    assert await tokens_store.load(APP) == AccessTokenState(old)


async def test_credentials_are_proved_by_wechat_alone(
    tokens: AccessTokens, issuer: Issuer, tokens_store: Store
) -> None:
    """A proof asks WeChat whatever is known, tells what it says, and shares nothing."""
    await tokens.get(APP)
    await tokens.prove(APP)
    loaded = tokens_store.loaded
    issuer.error = AppMisconfigured("wrong")
    error = await failure(tokens.prove(APP))

    assert error is issuer.error
    assert issuer.asked == 3
    assert tokens_store.loaded == loaded


@pytest.mark.parametrize("left", [timedelta(minutes=4), timedelta(minutes=2)], ids=str)
async def test_a_token_that_is_nearly_over_when_it_comes_is_asked_for_again(
    tokens: AccessTokens, tokens_store: Store, issuer: Issuer, clock: Clock, left: timedelta
) -> None:
    """A shared token that is due serves, and is not taken for the next one."""
    old = AccessToken("old", clock.now + left)
    await tokens_store.acquire_lease(APP, "a process", clock.now, LEASE)
    await tokens_store.save_and_release(APP, "a process", AccessTokenState(old))
    first = await tokens.get(APP)
    await soon(lambda: not tokens._fetching)

    assert first == old
    assert [await tokens.get(APP)] == issuer.issued


async def test_a_token_is_in_no_error_and_no_repr(tokens: AccessTokens, issuer: Issuer) -> None:
    """Neither the broker nor what it raises shows a token."""
    old = await tokens.get(APP)
    error = await failure(tokens.renew(APP, old))

    assert old.value not in f"{error!r} {error} {tokens!r} {replace(old)!r}"


async def test_an_old_token_given_again_is_not_asked_for_at_every_call(
    process: Process, issuer: Issuer, clock: Clock
) -> None:
    """When WeChat's clock is behind ours and it gives the token that is due again, it is asked once in ten seconds."""
    tokens = process()
    issuer.always = AccessToken("the same", clock.now + timedelta(minutes=3))
    await tokens.get(APP)
    for _ in range(20):
        await tokens.get(APP)
        await soon(lambda: not tokens._fetching)
    asked_at_once = issuer.asked
    clock.advance(seconds=10)
    await tokens.get(APP)
    await soon(lambda: not tokens._fetching)

    assert asked_at_once == 1
    assert issuer.asked == 2


async def test_a_token_of_a_second_serves_for_a_second(process: Process, issuer: Issuer, clock: Clock) -> None:
    """However shortly tokens live, each is used to its end, and the next one is there then."""
    tokens = process()
    for number in range(3):
        issuer.always = AccessToken(f"token {number}", clock.now + timedelta(seconds=1))
        served = [await tokens.get(APP), await tokens.get(APP)]
        await soon(lambda: not tokens._fetching)

        assert served == [issuer.always] * 2
        clock.advance(seconds=1)
