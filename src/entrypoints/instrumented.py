"""Wrappers of use cases and ports that count calls in metrics, also those that change nothing, and log logins.

What changes is counted by its events: see Metrics.publish.
"""

from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from datetime import datetime

from application.login import NO_CONTEXT, LoggedIn, LoginContext, LoginRequest, LoginUseCase
from application.ports.access_token_issuer import AccessTokenIssuer
from application.ports.rate_limiter import RateLimiter
from application.sessions import Sessions
from domain.access_token import AccessToken
from domain.errors import AppUnknown, WxLoginError
from domain.identity import AppId, choose_app
from domain.rate_limit import Allowance, RateLimit
from domain.session import Session
from domain.webhook import Attempt, DeliveryOutcome
from entrypoints.failure_counter import FailureCounter
from entrypoints.log import log
from entrypoints.metrics import NO_APP, OK, Metrics
from entrypoints.problems import code_of


class InstrumentedLogin:
    """LoginUseCase with counts by app and outcome, and a line in the log. Its errors carry the appid."""

    def __init__(self, login: LoginUseCase, metrics: Metrics, failures: FailureCounter, apps: frozenset[AppId]) -> None:
        self._login = login
        self._metrics = metrics
        self._failures = failures
        self._apps = apps

    async def __call__(self, request: LoginRequest, context: LoginContext = NO_CONTEXT) -> LoggedIn:
        """See LoginUseCase."""
        try:
            login = await self._login(request, context)
        except Exception as error:
            app = self._app(request, context)
            self._metrics.login_failed(app or NO_APP, code_of(error))
            self._failures.count(app, error)
            if isinstance(error, WxLoginError):
                error.appid = app
            raise
        session, appid = login.session, login.session.identity.appid.value
        self._metrics.logged_in(appid)
        log.info(
            "login",
            appid=appid,
            user_id=session.user_id,
            session_id=session.id,
            ip=session.device.ip,
            is_new=login.is_new,
        )
        return login

    def _app(self, request: LoginRequest, context: LoginContext) -> str | None:
        with suppress(AppUnknown):
            return choose_app(self._apps, request.appid, context.referer_appid).value
        return None


class SessionChecks:
    """The checks of Sessions, counted by outcome."""

    def __init__(self, sessions: Sessions, metrics: Metrics) -> None:
        self._sessions = sessions
        self._metrics = metrics
        self._checks = metrics.session_checks.counts

    async def authenticate(self, token: str, apps: Collection[AppId] | None = None) -> Session:
        """See Sessions."""
        return await self._counted(self._sessions.authenticate(token, apps))

    async def use(self, session_id: str, apps: Collection[AppId] | None = None) -> Session:
        """See Sessions."""
        return await self._counted(self._sessions.use(session_id, apps))

    async def _counted(self, check: Awaitable[Session]) -> Session:
        try:
            session = await check
        except Exception as error:
            self._metrics.session_checked(code_of(error))
            raise
        self._checks[OK] += 1
        return session


class InstrumentedRateLimiter(RateLimiter):
    """A RateLimiter in front of another one, which counts refusals by limit."""

    def __init__(self, limiter: RateLimiter, metrics: Metrics) -> None:
        self._limiter = limiter
        self._metrics = metrics

    async def take(self, limit: RateLimit, subject: str) -> Allowance:
        """See RateLimiter."""
        allowance = await self._limiter.take(limit, subject)
        if not allowance.admitted:
            self._metrics.login_limited(limit.name)
        return allowance


class InstrumentedAccessTokenIssuer(AccessTokenIssuer):
    """An AccessTokenIssuer in front of another one, which counts by app and outcome."""

    def __init__(self, issuer: AccessTokenIssuer, metrics: Metrics) -> None:
        self._issuer = issuer
        self._metrics = metrics

    async def issue_token(self, appid: AppId, now: datetime) -> AccessToken:
        """See AccessTokenIssuer."""
        try:
            token = await self._issuer.issue_token(appid, now)
        except Exception as error:
            self._metrics.token_fetched(appid.value, code_of(error))
            raise
        self._metrics.token_fetched(appid.value, OK)
        return token


def instrumented_attempts(metrics: Metrics) -> Callable[[Attempt], None]:
    """Return a function that counts attempts to deliver webhooks, and logs those that failed."""

    def observe(attempt: Attempt) -> None:
        metrics.webhook_attempted(attempt)
        if attempt.outcome is not DeliveryOutcome.DELIVERED:
            tell = {
                DeliveryOutcome.POSTPONED: log.info,
                DeliveryOutcome.GONE: log.warning,
                DeliveryOutcome.GIVEN_UP: log.error,
            }
            tell[attempt.outcome](
                f"webhook_{attempt.outcome}",
                endpoint=attempt.endpoint.id,
                host=attempt.endpoint.host,
                webhook_id=attempt.delivery.event.id,
                type=attempt.delivery.event.type.value,
                attempts=attempt.delivery.attempts + 1,
                status=attempt.response and attempt.response.status,
                cause=attempt.response and attempt.response.cause,
            )

    return observe
