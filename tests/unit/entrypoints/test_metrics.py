"""The metrics, and their formats."""

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
from adapters.memory.login_failures import MemoryLoginFailures
from adapters.memory.rate_limiter import MemoryRateLimiter
from adapters.memory.session_store import MemorySessionStore
from adapters.memory.user_repository import MemoryUserRepository
from application.login import LoginContext, LoginRequest, LoginUseCase
from application.ports.access_token_issuer import AccessTokenIssuer
from application.sessions import Sessions
from application.user_sessions import UserSessions
from domain.access_token import AccessToken
from domain.errors import IdentityProviderUnavailable, WxLoginError
from domain.event import SYSTEM
from domain.identity import AppId, Identity
from domain.rate_limit import RateLimit
from domain.session import SessionPolicy
from entrypoints.failure_counter import FailureCounter
from entrypoints.instrumented import (
    InstrumentedAccessTokenIssuer,
    InstrumentedLogin,
    InstrumentedRateLimiter,
    SessionChecks,
)
from entrypoints.metrics import DIRECTORY, NO_APP, Metrics, forget_gauges, shared_directory
from entrypoints.settings import SettingsError
from support.clock import Clock
from support.scrapes import Scrape

pytestmark = pytest.mark.anyio

APP, OTHER_APP = AppId("wx0000000000000001"), AppId("wx0000000000000002")
ANN = Identity(APP, "oAnn")
POLICY = SessionPolicy(per_user=2)


class Measured:
    """The counted use cases, on memory."""

    def __init__(self, clock: Clock) -> None:
        self.metrics = Metrics([APP, OTHER_APP])
        self.wechat = MemoryIdentityProvider()
        store = MemorySessionStore(publish=self.metrics.publish)
        apps = frozenset({APP, OTHER_APP})
        users = MemoryUserRepository(self.metrics.publish)
        login = LoginUseCase(self.wechat, users, store, apps=apps, policy=POLICY, clock=clock)
        self.user_sessions = UserSessions(store, users, clock=clock)
        self.sessions = Sessions(store, policy=POLICY, clock=clock)
        self.checks = SessionChecks(self.sessions, self.metrics)
        self.log_in = InstrumentedLogin(login, self.metrics, FailureCounter(MemoryLoginFailures(), clock), apps)

    def request(self, identity: Identity = ANN) -> LoginRequest:
        """Return the request that a client sends after wx.login()."""
        return LoginRequest(self.wechat.issue(identity).value, identity.appid.value)

    def scrape(self) -> Scrape:
        """Return a scrape."""
        return scrape_of(self.metrics)


class Fetched(AccessTokenIssuer):
    """An issuer that returns a token, or raises an error."""

    def __init__(self, error: WxLoginError | None = None) -> None:
        self._error = error

    async def issue_token(self, appid: AppId, now: datetime) -> AccessToken:  # of any app
        """See AccessTokenIssuer."""
        if self._error:
            raise self._error
        return AccessToken("a token", now + timedelta(hours=2))


def scrape_of(metrics: Metrics) -> Scrape:
    """Return a scrape of the metrics."""
    return Scrape.of(metrics.expose("")[0].decode())


@pytest.fixture
def counted(clock: Clock) -> Measured:
    """Counted use cases without any counts."""
    return Measured(clock)


async def test_logins_are_counted_by_app_and_outcome(counted: Measured) -> None:
    """A successful login counts for its app, and a new user counts once."""
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
    counted: Measured, request_: LoginRequest, hint: str | None, app: str, outcome: str
) -> None:
    """A failed login counts with its error code for its app, if the app is known. The error has the same app."""
    with pytest.raises(WxLoginError) as refused:
        await counted.log_in(request_, LoginContext(referer_appid=hint))

    assert (refused.value.appid or NO_APP) == app
    assert counted.scrape().value("wxlogin_logins_total", app=app, outcome=outcome) == 1
    assert counted.scrape().total("wxlogin_logins_total") == 1


async def test_a_defect_counts_as_internal_error(counted: Measured) -> None:
    """A login that raises an unexpected error counts as internal_error."""
    with pytest.raises(TypeError):
        await counted.log_in(LoginRequest(7, APP.value))  # type: ignore[arg-type]  # no entrypoint sends this

    assert counted.scrape().value("wxlogin_logins_total", app=APP.value, outcome="internal_error") == 1


async def test_checks_are_counted_by_outcome(counted: Measured, clock: Clock) -> None:
    """Each check of a token counts once, as ok or with the error code."""
    login = await counted.log_in(counted.request())
    await counted.checks.authenticate(login.token.value)
    clock.advance(days=8)
    for token in (login.token.value, "", "x" * 43):
        with pytest.raises(WxLoginError):
            await counted.checks.authenticate(token)
    scrape = counted.scrape()

    for outcome in ("ok", "session_expired", "token_missing", "token_invalid"):
        assert scrape.value("wxlogin_session_checks_total", outcome=outcome) == 1
    assert scrape.total("wxlogin_session_checks_total") == 4


async def test_ends_are_counted_by_reason(counted: Measured, clock: Clock) -> None:
    """Each session that a log-out, a revocation or a newer login ends counts once, by reason."""
    logins = []
    for _ in range(3):
        logins.append(await counted.log_in(counted.request()))
        clock.advance(seconds=1)
    await counted.sessions.end(logins[1].session.id, SYSTEM)
    for _ in range(2):
        await counted.sessions.revoke(logins[2].session.id, SYSTEM)
    login = await counted.log_in(counted.request())
    await counted.user_sessions.end_all(login.user.id, SYSTEM)
    scrape = counted.scrape()

    assert scrape.value("wxlogin_sessions_ended_total", reason="session_replaced") == 1
    assert scrape.value("wxlogin_sessions_ended_total", reason="session_ended") == 3


async def test_a_list_of_sessions_is_not_counted(counted: Measured) -> None:
    """A list of sessions counts neither as a check nor as an end."""
    login = await counted.log_in(counted.request())

    assert await counted.sessions.list_for_user(login.user.id) == [login.session]
    assert counted.scrape().total("wxlogin_session_checks_total") == 0


async def test_refusals_are_counted_by_limit(clock: Clock) -> None:
    """A refusal counts by the name of its limit, and the metrics do not have the address."""
    metrics, limit = Metrics(), RateLimit("login", 2, timedelta(minutes=1))
    limiter = InstrumentedRateLimiter(MemoryRateLimiter(clock), metrics)
    for _ in range(5):
        await limiter.take(limit, "192.0.2.1")

    assert scrape_of(metrics).value("wxlogin_logins_limited_total", limit="login") == 3
    assert "192.0.2.1" not in metrics.expose("")[0].decode()


async def test_access_tokens_are_counted_by_outcome(clock: Clock) -> None:
    """A fetch of an access token counts for its app, as ok or with the error code."""
    metrics = Metrics()
    await InstrumentedAccessTokenIssuer(Fetched(), metrics).issue_token(APP, clock.now)
    with pytest.raises(IdentityProviderUnavailable):
        await InstrumentedAccessTokenIssuer(Fetched(IdentityProviderUnavailable()), metrics).issue_token(APP, clock.now)

    for outcome in ("ok", "wechat_unavailable"):
        assert scrape_of(metrics).value("wxlogin_access_token_fetches_total", app=APP.value, outcome=outcome) == 1


def test_an_unknown_method_is_not_a_label_value() -> None:
    """All unknown HTTP methods share one label value."""
    metrics = Metrics()
    for method in ("GET", "PROPFIND", "会话", "x" * 1000):
        metrics.answered(method, "/v1/me", 405, 0.001)

    assert scrape_of(metrics).values("method") == {"GET", "other"}
    assert scrape_of(metrics).value("wxlogin_http_requests_total", method="other", route="/v1/me", status="405") == 3


def test_an_unknown_outcome_is_an_internal_error() -> None:
    """An unknown outcome of a check counts as internal_error."""
    metrics = Metrics()
    metrics.session_checked("a code of tomorrow")

    assert scrape_of(metrics).value("wxlogin_session_checks_total", outcome="internal_error") == 1


def test_outcomes_reasons_and_apps_start_at_0() -> None:
    """The outcomes of checks, the reasons and the apps have a count of 0 from the start."""
    scrape = scrape_of(Metrics([APP]))

    assert ("wxlogin_session_checks_total", frozenset({("outcome", "store_unavailable")})) in scrape.samples
    assert ("wxlogin_sessions_ended_total", frozenset({("reason", "session_ended")})) in scrape.samples
    assert ("wxlogin_logins_total", frozenset({("app", APP.value), ("outcome", "ok")})) in scrape.samples


def test_two_services_in_one_process_count_separately() -> None:
    """Two services in one process have separate metrics."""
    one, other = Metrics([APP]), Metrics([APP])
    one.session_checked("ok")
    one.wechat_called("/sns/jscode2session", "0", 0.1)

    assert scrape_of(one).total("wxlogin_session_checks_total") == 1
    assert scrape_of(other).total("wxlogin_session_checks_total") == 0
    assert scrape_of(other).total("wxlogin_wechat_requests_total") == 0


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
    """A client that accepts OpenMetrics gets it. Other clients get the text format of Prometheus."""
    assert Metrics().expose(accept)[1] == content_type


def test_openmetrics_has_the_same_metrics() -> None:
    """Both formats have metrics with the same names, and the OpenMetrics text is complete."""
    metrics = Metrics([APP])
    metrics.wechat_called("/sns/jscode2session", "40029", 0.1)
    text = metrics.expose("application/openmetrics-text")[0].decode()
    families = list(text_string_to_metric_families(text))  # type: ignore[no-untyped-call]
    samples = {(sample.name, frozenset(sample.labels.items())) for each in families for sample in each.samples}

    assert text.endswith("# EOF\n")
    assert {sample[0] for sample in samples} == {name for name, _ in scrape_of(metrics).samples}


def test_metrics_can_be_registered() -> None:
    """A program that embeds the service can register its metrics."""
    registry = CollectorRegistry()
    registry.register(Metrics([APP]))

    assert "wxlogin_logins" in {metric.name for metric in registry.collect()}


COUNTING = """
import asyncio, os, signal, sys
from entrypoints.buffered_counter import FLUSH_SECONDS, flushing_counts
from entrypoints.metrics import Metrics

async def count(how):
    metrics = Metrics()
    async with flushing_counts(metrics.session_checks):
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
    """Count three checks and a call to WeChat in another process, in the directory."""
    env = {**os.environ, DIRECTORY: str(directory)}
    return subprocess.run([sys.executable, "-c", COUNTING, how], env=env, capture_output=True, text=True, timeout=60)


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory in which several processes count."""
    monkeypatch.setenv(DIRECTORY, str(tmp_path))
    return tmp_path


def test_counts_of_one_directory_are_added_up(shared: Path) -> None:
    """The counts of several stopped processes are added up completely."""
    for _ in range(2):
        count_in_another_process(shared).check_returncode()
    scrape = scrape_of(Metrics())

    assert scrape.value("wxlogin_session_checks_total", outcome="ok") == 6
    assert scrape.value("wxlogin_wechat_requests_total", path="/sns/jscode2session", errcode="0") == 2
    assert scrape.value("wxlogin_wechat_request_duration_seconds_count", path="/sns/jscode2session") == 2


def test_a_killed_process_loses_the_counts_of_at_most_a_second(shared: Path) -> None:
    """The checks until one second before SIGKILL remain, and all other counts remain completely."""
    killed = count_in_another_process(shared, "killed")
    scrape = scrape_of(Metrics())

    assert killed.returncode == -signal.SIGKILL
    assert scrape.value("wxlogin_session_checks_total", outcome="ok") == 3
    assert scrape.value("wxlogin_wechat_requests_total", path="/sns/jscode2session", errcode="0") == 1


def test_a_process_publishes_its_own_counts_at_once(shared: Path) -> None:
    """A process that answers a scrape includes its own checks without delay, and those of the other processes."""
    count_in_another_process(shared).check_returncode()
    scraped = Scrape.of(count_in_another_process(shared, "scraped").stdout)

    assert scraped.value("wxlogin_session_checks_total", outcome="ok") == 6


def test_counts_of_an_ended_process_remain_and_its_gauges_are_removed(shared: Path) -> None:
    """After a process ends its gauges are removed, and its counts remain."""
    count_in_another_process(shared).check_returncode()
    (pid,) = {int(file.stem.rpartition("_")[2]) for file in shared.iterdir()}
    before = scrape_of(Metrics())
    forget_gauges(pid)
    after = scrape_of(Metrics())

    assert (before.total("wxlogin_database_pool_size"), before.total("wxlogin_build_info")) == (20, 1)
    assert (after.total("wxlogin_database_pool_size"), after.total("wxlogin_build_info")) == (0, 0)
    assert after.total("wxlogin_session_checks_total") == before.total("wxlogin_session_checks_total") == 3


def test_several_workers_count_in_a_private_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The directory for several workers is private, and is deleted at the end."""
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
    """Without the variable of an operator, one worker needs no directory."""
    monkeypatch.delenv(DIRECTORY, raising=False)
    with shared_directory(workers=1):
        assert DIRECTORY not in os.environ


@pytest.mark.parametrize("workers", [1, 2])
def test_an_operators_directory_is_not_deleted(shared: Path, workers: int) -> None:
    """In an operator's directory no file is deleted, with one worker or several."""
    (shared / "counter_7.db").touch()
    with shared_directory(workers):
        assert os.environ[DIRECTORY] == str(shared)
    assert (shared / "counter_7.db").exists()


@pytest.mark.parametrize("name", ["", "missing"])
def test_a_missing_directory_fails_the_start(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the directory of an operator does not exist, the start fails and the error names the variable."""
    monkeypatch.setenv(DIRECTORY, name and str(tmp_path / name))
    with pytest.raises(SettingsError, match=DIRECTORY), shared_directory(workers=1):
        raise AssertionError


def test_a_starting_process_does_not_disturb_a_scrape(shared: Path) -> None:
    """An empty file of a process that is starting does not disturb a scrape."""
    count_in_another_process(shared).check_returncode()
    for name in ("counter_1.db", "gauge_livesum_1.db"):
        (shared / name).touch()

    assert scrape_of(Metrics()).total("wxlogin_session_checks_total") == 3
