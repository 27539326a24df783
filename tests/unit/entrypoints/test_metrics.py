"""What is counted, and how it is told."""

import os
import signal
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from adapters.memory.identity_provider import MemoryIdentityProvider
from adapters.memory.rate_limiter import MemoryRateLimiter
from adapters.memory.session_store import MemorySessionStore
from adapters.memory.user_repository import MemoryUserRepository
from application.login import LoginContext, LoginRequest, LoginUseCase
from application.ports.access_token_issuer import AccessTokenIssuer
from application.sessions import Sessions
from domain.access_token import AccessToken
from domain.errors import IdentityProviderUnavailable, WxLoginError
from domain.identity import AppId, Identity
from domain.rate_limit import RateLimit
from domain.session import SessionPolicy
from entrypoints.instrumented import (
    InstrumentedAccessTokenIssuer,
    InstrumentedLogin,
    InstrumentedRateLimiter,
    InstrumentedSessions,
)
from entrypoints.metrics import DIRECTORY, NO_APP, Metrics, forget_gauges, shared_directory
from entrypoints.settings import SettingsError
from support.clock import Clock
from support.scrapes import Scrape

pytestmark = pytest.mark.anyio

APP, OTHER_APP = AppId("wx0000000000000001"), AppId("wx0000000000000002")
ANN = Identity(APP, "oAnn")
POLICY = SessionPolicy(per_user=2)


class Counted:
    """The counted use cases, on memory."""

    def __init__(self, clock: Clock) -> None:
        self.metrics = Metrics([APP, OTHER_APP])
        self.wechat = MemoryIdentityProvider()
        store = MemorySessionStore()
        apps = frozenset({APP, OTHER_APP})
        login = LoginUseCase(self.wechat, MemoryUserRepository(), store, apps=apps, policy=POLICY, clock=clock)
        self.sessions = InstrumentedSessions(Sessions(store, policy=POLICY, clock=clock), self.metrics)
        self.log_in = InstrumentedLogin(login, self.metrics, apps)

    def request(self, identity: Identity = ANN) -> LoginRequest:
        """What a client sends after wx.login()."""
        return LoginRequest(self.wechat.issue(identity).value, identity.appid.value)

    def scrape(self) -> Scrape:
        """What is told."""
        return told(self.metrics)


class Fetched(AccessTokenIssuer):
    """A WeChat that gives a token, or an error."""

    def __init__(self, error: WxLoginError | None = None) -> None:
        self._error = error

    async def issue_token(self, appid: AppId, now: datetime) -> AccessToken:  # any app's
        """See AccessTokenIssuer."""
        if self._error:
            raise self._error
        return AccessToken("a token", now + timedelta(hours=2))


def told(metrics: Metrics) -> Scrape:
    """The text, read."""
    return Scrape.of(metrics.expose("")[0].decode())


@pytest.fixture
def counted(clock: Clock) -> Counted:
    """Nothing has happened yet."""
    return Counted(clock)


async def test_logins_are_counted_by_app_and_outcome(counted: Counted) -> None:
    """A login counts for its app as ok, and its user once as new."""
    for identity in (ANN, ANN, Identity(OTHER_APP, "oBob")):
        await counted.log_in(counted.request(identity))
    scrape = counted.scrape()

    assert scrape.value("wxlogin_logins_total", app=APP.value, outcome="ok") == 2
    assert scrape.value("wxlogin_logins_total", app=OTHER_APP.value, outcome="ok") == 1
    assert scrape.value("wxlogin_users_created_total", app=APP.value) == 1


@pytest.mark.parametrize(
    ("request_", "hint", "app", "outcome"),
    [
        (LoginRequest("x", APP.value), None, APP.value, "code_invalid"),
        (LoginRequest("", APP.value), None, APP.value, "code_missing"),
        (LoginRequest("x"), OTHER_APP.value, OTHER_APP.value, "code_invalid"),
        (LoginRequest("x"), None, "none", "app_unknown"),
        (LoginRequest("x", "wx-of-the-client"), None, "none", "app_unknown"),
        (LoginRequest("会", APP.value), None, APP.value, "request_invalid"),
    ],
)
async def test_refused_logins_are_counted_by_code(
    counted: Counted, request_: LoginRequest, hint: str | None, app: str, outcome: str
) -> None:
    """A login that fails counts with the error's code for the app it was of, if there is one, which the error knows."""
    with pytest.raises(WxLoginError) as refused:
        await counted.log_in(request_, LoginContext(referer_appid=hint))

    assert (refused.value.appid or NO_APP) == app
    assert counted.scrape().value("wxlogin_logins_total", app=app, outcome=outcome) == 1
    assert counted.scrape().total("wxlogin_logins_total") == 1


async def test_a_defect_counts_as_internal_error(counted: Counted) -> None:
    """A login that fails for no reason that we know is counted all the same."""
    with pytest.raises(TypeError):
        await counted.log_in(LoginRequest(7, APP.value))  # type: ignore[arg-type]  # what no entrypoint lets pass

    assert counted.scrape().value("wxlogin_logins_total", app=APP.value, outcome="internal_error") == 1


async def test_checks_are_counted_by_outcome(counted: Counted, clock: Clock) -> None:
    """Each check of a token counts once, as ok or with the code of the error."""
    login = await counted.log_in(counted.request())
    await counted.sessions.authenticate(login.token.value)
    clock.advance(days=8)
    for token in (login.token.value, "", "x" * 43):
        with pytest.raises(WxLoginError):
            await counted.sessions.authenticate(token)
    scrape = counted.scrape()

    for outcome in ("ok", "session_expired", "token_missing", "token_invalid"):
        assert scrape.value("wxlogin_session_checks_total", outcome=outcome) == 1
    assert scrape.total("wxlogin_session_checks_total") == 4


async def test_ends_are_counted_by_reason(counted: Counted) -> None:
    """A logout counts each session that it ends, a revocation one if there is one, and a login each that gives way."""
    logins = [await counted.log_in(counted.request()) for _ in range(3)]
    await counted.sessions.end(logins[1].session.id)
    for _ in range(2):
        await counted.sessions.revoke(logins[2].token.value)
    login = await counted.log_in(counted.request())
    await counted.sessions.end_all(login.user.id)
    scrape = counted.scrape()

    assert scrape.value("wxlogin_sessions_ended_total", reason="session_replaced") == 1
    assert scrape.value("wxlogin_sessions_ended_total", reason="session_ended") == 3


async def test_the_sessions_of_a_user_are_told_and_not_counted(counted: Counted) -> None:
    """To list sessions is neither a check nor an end."""
    login = await counted.log_in(counted.request())

    assert await counted.sessions.list_for_user(login.user.id) == [login.session]
    assert counted.scrape().total("wxlogin_session_checks_total") == 0


async def test_refusals_are_counted_by_limit(clock: Clock) -> None:
    """What a limit refuses counts under its name, and nobody's address does."""
    metrics, limit = Metrics(), RateLimit("login", 2, timedelta(minutes=1))
    limiter = InstrumentedRateLimiter(MemoryRateLimiter(clock), metrics)
    for _ in range(5):
        await limiter.take(limit, "192.0.2.1")

    assert told(metrics).value("wxlogin_logins_limited_total", limit="login") == 3
    assert "192.0.2.1" not in metrics.expose("")[0].decode()


async def test_access_tokens_are_counted_by_outcome(clock: Clock) -> None:
    """A fetch counts for its app, as ok or with the code of the error."""
    metrics = Metrics()
    await InstrumentedAccessTokenIssuer(Fetched(), metrics).issue_token(APP, clock.now)
    with pytest.raises(IdentityProviderUnavailable):
        await InstrumentedAccessTokenIssuer(Fetched(IdentityProviderUnavailable()), metrics).issue_token(APP, clock.now)

    for outcome in ("ok", "wechat_unavailable"):
        assert told(metrics).value("wxlogin_access_token_fetches_total", app=APP.value, outcome=outcome) == 1


def test_a_method_that_a_client_made_up_is_no_label() -> None:
    """Whatever methods clients think of, there is one more label, and not one for each."""
    metrics = Metrics()
    for method in ("GET", "PROPFIND", "会话", "x" * 1000):
        metrics.answered(method, "/v1/me", 405, 0.001)

    assert told(metrics).values("method") == {"GET", "other"}
    assert told(metrics).value("wxlogin_http_requests_total", method="other", route="/v1/me", status="405") == 3


def test_an_outcome_that_is_not_foreseen_is_an_internal_error() -> None:
    """A check cannot end in a way that is not counted."""
    metrics = Metrics()
    metrics.session_checked("a code of tomorrow")

    assert told(metrics).value("wxlogin_session_checks_total", outcome="internal_error") == 1


def test_outcomes_reasons_and_apps_start_at_0() -> None:
    """Outcomes of checks, reasons and apps are there from the start, so that the first of each is a rise."""
    scrape = told(Metrics([APP]))

    assert ("wxlogin_session_checks_total", frozenset({("outcome", "store_unavailable")})) in scrape.samples
    assert ("wxlogin_sessions_ended_total", frozenset({("reason", "session_ended")})) in scrape.samples
    assert ("wxlogin_logins_total", frozenset({("app", APP.value), ("outcome", "ok")})) in scrape.samples


def test_two_services_in_one_process_count_apart() -> None:
    """Nothing is registered where another service would find it."""
    one, other = Metrics([APP]), Metrics([APP])
    one.session_checked("ok")
    one.wechat_called("/sns/jscode2session", "0", 0.1)

    assert told(one).total("wxlogin_session_checks_total") == 1
    assert told(other).total("wxlogin_session_checks_total") == 0
    assert told(other).total("wxlogin_wechat_requests_total") == 0


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        ("*/*", "text/plain; version=0.0.4; charset=utf-8"),
        ("text/plain;version=0.0.4", "text/plain; version=0.0.4; charset=utf-8"),
        ("application/openmetrics-text", "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        (
            "application/openmetrics-text;version=nonsense, text/plain",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        ),
    ],
)
def test_the_format_is_the_one_accepted(accept: str, content_type: str) -> None:
    """OpenMetrics is for who asks for it; whatever else one accepts, it is the text of Prometheus."""
    assert Metrics().expose(accept)[1] == content_type


def test_openmetrics_tells_the_same() -> None:
    """Both formats have the same samples, and OpenMetrics is whole."""
    metrics = Metrics([APP])
    metrics.wechat_called("/sns/jscode2session", "40029", 0.1)
    text = metrics.expose("application/openmetrics-text")[0].decode()
    families = list(text_string_to_metric_families(text))  # type: ignore[no-untyped-call]
    samples = {(sample.name, frozenset(sample.labels.items())) for each in families for sample in each.samples}

    assert text.endswith("# EOF\n")
    assert {sample[0] for sample in samples} == {name for name, _ in told(metrics).samples}


def test_metrics_can_be_registered() -> None:
    """A program that embeds the service tells them beside its own."""
    registry = CollectorRegistry()
    registry.register(Metrics([APP]))

    assert "wxlogin_logins" in {metric.name for metric in registry.collect()}


COUNTING = """
import asyncio, os, signal, sys
from entrypoints.buffered_counter import FLUSH_SECONDS, flushing
from entrypoints.metrics import Metrics

async def count(how):
    metrics = Metrics()
    async with flushing(metrics.session_checks):
        metrics.session_checked("ok", 3)
        metrics.wechat_called("/sns/jscode2session", "0", 0.1)
        metrics.connections_open(20)
        if how == "killed":
            await asyncio.sleep(1.5 * FLUSH_SECONDS)
            metrics.session_checked("ok", 4)
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "scraped":
            sys.stdout.write(metrics.expose("")[0].decode())

asyncio.run(count(sys.argv[1]))
"""


def count_in_another_process(directory: Path, how: str = "stopped") -> subprocess.CompletedProcess[str]:
    """Let a process count three checks and a call to WeChat in the directory, and end."""
    env = {**os.environ, DIRECTORY: str(directory)}
    return subprocess.run([sys.executable, "-c", COUNTING, how], env=env, capture_output=True, text=True, timeout=60)


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory in which processes count together."""
    monkeypatch.setenv(DIRECTORY, str(tmp_path))
    return tmp_path


def test_processes_of_one_directory_are_told_together(shared: Path) -> None:
    """What processes counted that have stopped adds up, to the last count."""
    for _ in range(2):
        count_in_another_process(shared).check_returncode()
    scrape = told(Metrics())

    assert scrape.value("wxlogin_session_checks_total", outcome="ok") == 6
    assert scrape.value("wxlogin_wechat_requests_total", path="/sns/jscode2session", errcode="0") == 2
    assert scrape.value("wxlogin_wechat_request_duration_seconds_count", path="/sns/jscode2session") == 2


def test_a_killed_process_loses_no_more_than_a_second(shared: Path) -> None:
    """Checks that were counted more than a second before SIGKILL are told, and everything else to the last count."""
    killed = count_in_another_process(shared, "killed")
    scrape = told(Metrics())

    assert killed.returncode == -signal.SIGKILL
    assert scrape.value("wxlogin_session_checks_total", outcome="ok") == 3
    assert scrape.value("wxlogin_wechat_requests_total", path="/sns/jscode2session", errcode="0") == 1


def test_a_process_tells_at_once_what_it_counted_itself(shared: Path) -> None:
    """Who answers a scrape tells its own checks without a second's delay, with those of the others."""
    count_in_another_process(shared).check_returncode()
    scraped = Scrape.of(count_in_another_process(shared, "scraped").stdout)

    assert scraped.value("wxlogin_session_checks_total", outcome="ok") == 6


def test_counts_of_an_ended_process_are_kept_and_its_gauges_removed(shared: Path) -> None:
    """The supervisor forgets what a worker had in use, and no count."""
    count_in_another_process(shared).check_returncode()
    (pid,) = {int(file.stem.rpartition("_")[2]) for file in shared.iterdir()}
    before = told(Metrics())
    forget_gauges(pid)
    after = told(Metrics())

    assert (before.total("wxlogin_database_pool_size"), before.total("wxlogin_build_info")) == (20, 1)
    assert (after.total("wxlogin_database_pool_size"), after.total("wxlogin_build_info")) == (0, 0)
    assert after.total("wxlogin_session_checks_total") == before.total("wxlogin_session_checks_total") == 3


def test_several_workers_count_in_a_private_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else can read it, and it goes with what is in it."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.delenv(DIRECTORY, raising=False)
    with shared_directory(workers=2):
        directory = Path(os.environ[DIRECTORY])
        (directory / "counter_7.db").touch()
        mode = directory.stat().st_mode & 0o777

    assert (directory.parent, mode) == (tmp_path, 0o700)
    assert list(tmp_path.iterdir()) == []
    assert DIRECTORY not in os.environ


def test_one_worker_counts_in_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a variable of the operator's, one worker needs no directory."""
    monkeypatch.delenv(DIRECTORY, raising=False)
    with shared_directory(workers=1):
        assert DIRECTORY not in os.environ


@pytest.mark.parametrize("workers", [1, 2])
def test_an_operators_directory_stays(shared: Path, workers: int) -> None:
    """In a directory that the operator named, nothing is removed, with one worker as with several."""
    (shared / "counter_7.db").touch()
    with shared_directory(workers):
        assert os.environ[DIRECTORY] == str(shared)
    assert (shared / "counter_7.db").exists()


@pytest.mark.parametrize("name", ["", "missing"])
def test_a_directory_that_is_not_there_is_named(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service whose operator named no directory does not start, and the variable is named."""
    monkeypatch.setenv(DIRECTORY, name and str(tmp_path / name))
    with pytest.raises(SettingsError, match=DIRECTORY), shared_directory(workers=1):
        raise AssertionError


def test_a_process_that_just_starts_hinders_no_scrape(shared: Path) -> None:
    """A process's file that is just being made, and empty, does not keep the others' numbers from being told."""
    count_in_another_process(shared).check_returncode()
    for name in ("counter_1.db", "gauge_livesum_1.db"):
        (shared / name).touch()

    assert told(Metrics()).total("wxlogin_session_checks_total") == 3
