"""What is counted, and how it is told."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from adapters.memory.identity_provider import MemoryIdentityProvider
from adapters.memory.rate_limiter import MemoryRateLimiter
from adapters.memory.session_store import MemorySessionStore
from adapters.memory.user_repository import MemoryUserRepository
from application.login import LoginRequest, LoginUseCase
from application.ports import TokenIssuer
from application.sessions import Sessions
from domain.access_token import AccessToken
from domain.errors import WeChatUnavailable, WxLoginError
from domain.identity import AppId, Identity
from domain.rate_limit import RateLimit
from domain.session import SessionPolicy
from entrypoints.counted import CountedLogin, CountedRateLimiter, CountedSessions, CountedTokenIssuer
from entrypoints.metrics import DIRECTORY, NO_APP, Metrics, forget_gauges
from entrypoints.tallies import Tallies
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
        self.sessions = CountedSessions(Sessions(store, policy=POLICY, clock=clock), self.metrics)
        self.log_in = CountedLogin(login, self.metrics, apps)

    def request(self, identity: Identity = ANN) -> LoginRequest:
        """What a client sends after wx.login()."""
        return LoginRequest(self.wechat.issue(identity).value, identity.appid.value)

    def scrape(self) -> Scrape:
        """What is told."""
        return told(self.metrics)


class Fetched(TokenIssuer):
    """A WeChat that gives a token, or an error."""

    def __init__(self, error: WxLoginError | None = None) -> None:
        self._error = error

    async def issue_token(self, appid: AppId, now: datetime) -> AccessToken:  # noqa: ARG002  # any app's
        """See TokenIssuer."""
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
        await counted.log_in(request_, hinted_appid=hint)

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


async def test_checks_that_are_made_together_are_counted_each(counted: Counted) -> None:
    """A batch counts the sessions that it finds; a token that it does not find is counted when it is checked alone."""
    token = (await counted.log_in(counted.request())).token.value
    await counted.sessions.authenticate_together([token, "", token])

    assert counted.scrape().value("wxlogin_session_checks_total", outcome="ok") == 2
    assert counted.scrape().total("wxlogin_session_checks_total") == 2


async def test_the_sessions_of_a_user_are_told_and_not_counted(counted: Counted) -> None:
    """To list sessions is neither a check nor an end."""
    login = await counted.log_in(counted.request())

    assert await counted.sessions.of_user(login.user.id) == [login.session]
    assert counted.scrape().total("wxlogin_session_checks_total") == 0


async def test_refusals_are_counted_by_limit(clock: Clock) -> None:
    """What a limit refuses counts under its name, and nobody's address does."""
    metrics, limit = Metrics(), RateLimit("login", 2, timedelta(minutes=1))
    limiter = CountedRateLimiter(MemoryRateLimiter(clock), metrics)
    for _ in range(5):
        await limiter.take(limit, "192.0.2.1")

    assert told(metrics).value("wxlogin_logins_limited_total", limit="login") == 3
    assert "192.0.2.1" not in metrics.expose("")[0].decode()


async def test_access_tokens_are_counted_by_outcome(clock: Clock) -> None:
    """A fetch counts for its app, as ok or with the code of the error."""
    metrics = Metrics()
    await CountedTokenIssuer(Fetched(), metrics).issue_token(APP, clock.now)
    with pytest.raises(WeChatUnavailable):
        await CountedTokenIssuer(Fetched(WeChatUnavailable()), metrics).issue_token(APP, clock.now)

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


def test_what_happened_to_nobody_is_told_as_0() -> None:
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
    families = list(text_string_to_metric_families(text))
    samples = {(sample.name, frozenset(sample.labels.items())) for each in families for sample in each.samples}

    assert text.endswith("# EOF\n")
    assert {sample[0] for sample in samples} == {name for name, _ in told(metrics).samples}


def test_metrics_can_be_registered() -> None:
    """A program that embeds the service tells them beside its own."""
    registry = CollectorRegistry()
    registry.register(Metrics([APP]))

    assert "wxlogin_logins" in {metric.name for metric in registry.collect()}


def test_tallies_of_a_directory_outlive_who_counted(tmp_path: Path) -> None:
    """What is counted in a directory is told by all that count there, and goes on after a restart."""

    def counter() -> tuple[Tallies, Callable[..., None]]:
        tallies = Tallies(tmp_path)
        return tallies, tallies.counter("things_total", "Things.")

    first, count = counter()
    count(3)
    second, count_more = counter()
    count_more()
    (family,) = second.collect()

    assert [sample.value for sample in family.samples] == [4]
    assert list(tmp_path.iterdir())
    assert [sample.value for metric in first.collect() for sample in metric.samples] == [4]


def test_tallies_of_another_process_are_added(tmp_path: Path) -> None:
    """The numbers of each process's file add up; one that is just being made is empty."""
    tallies = Tallies(tmp_path)
    count = tallies.counters("things_total", "Things.", "kind", ["a", "b"])
    count["b"](2)
    (mine,) = tmp_path.iterdir()
    (tmp_path / "tallies_1").write_bytes(mine.read_bytes())
    (tmp_path / "tallies_2").write_bytes(b"")
    (family,) = tallies.collect()

    assert {sample.labels["kind"]: sample.value for sample in family.samples} == {"a": 0, "b": 4}


def test_a_process_that_just_starts_hinders_no_scrape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process's file that is just being made, and empty, does not keep the others' numbers from being told."""
    monkeypatch.setenv(DIRECTORY, str(tmp_path))
    for name in ("counter_1.db", "gauge_livesum_1.db", "tallies_1"):
        (tmp_path / name).touch()
    body, _ = Metrics().expose("")

    assert b"wxlogin_session_checks_total" in body


def test_what_a_dead_process_had_in_use_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gauges of processes that are gone do not count, and their counters do."""
    names = ["gauge_livesum_7.db", "gauge_livemax_7.db", "gauge_livesum_8.db", "counter_7.db", "tallies_7"]
    for name in names:
        (tmp_path / name).touch()
    monkeypatch.setenv(DIRECTORY, str(tmp_path))
    forget_gauges(7)

    assert {path.name for path in tmp_path.iterdir()} == {"gauge_livesum_8.db", "counter_7.db", "tallies_7"}
