"""The metrics of GET /metrics. docs/operations.md explains each."""

import os
import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, generate_latest, values
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from domain.errors import StoreUnavailable, Unauthenticated
from domain.event import Event, EventType
from domain.identity import AppId
from domain.session import EndReason
from domain.webhook import Attempt, DeliveryOutcome, WebhookEndpoint
from entrypoints.buffered_counter import BufferedCounter
from entrypoints.problems import DEFECT, OUTCOMES
from entrypoints.settings import SettingsError

DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
"""The library's own variable: the directory in which several processes count together."""

OK = "ok"
NO_APP = "none"
"""Stands for the app of a login for which none was found."""

ANSWER_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
WECHAT_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 10)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics(Collector):
    """All metrics of a service. No label contains text of a client, or a secret."""

    def __init__(self, apps: Iterable[AppId] = ()) -> None:
        directory = os.environ.get(DIRECTORY)
        self._directory = Path(directory) if directory else None
        self._registry = own = CollectorRegistry()

        self.session_checks = BufferedCounter(
            Counter("wxlogin_session_checks_total", "Tokens checked, by outcome.", ["outcome"], registry=own),
            [OK, *CHECK_CODES],
        )
        counter, histogram = _labelled(Counter, own), _labelled(Histogram, own)
        gauge = partial(Gauge, registry=own, multiprocess_mode="livesum")
        self._events = counter("wxlogin_events_total", "What changed, by type of event.", ["type"])
        self._ends = counter("wxlogin_sessions_ended_total", "Sessions ended before their time, by reason.", ["reason"])
        self._logins = counter("wxlogin_logins_total", "Logins, by outcome.", ["app", "outcome"])
        self._new_users = counter("wxlogin_users_created_total", "Users who were new.", ["app"])
        self._refusals = counter("wxlogin_logins_limited_total", "Logins refused by a limit of our own.", ["limit"])
        self._calls = counter(
            "wxlogin_wechat_requests_total", "Calls to WeChat, by what it answered.", ["path", "errcode"]
        )
        self._call_seconds = histogram(
            "wxlogin_wechat_request_duration_seconds", "How long WeChat took.", ["path"], buckets=WECHAT_SECONDS
        )
        self._tokens = counter(
            "wxlogin_access_token_fetches_total", "Access tokens asked of WeChat, by outcome.", ["app", "outcome"]
        )
        self._requests = counter(
            "wxlogin_http_requests_total", "HTTP requests, /auth aside, by status.", ["method", "route", "status"]
        )
        self._request_seconds = histogram(
            "wxlogin_http_request_duration_seconds",
            "How long it took until a response began, /auth aside.",
            ["method", "route"],
            buckets=ANSWER_SECONDS,
        )
        self._webhooks = counter(
            "wxlogin_webhook_attempts_total",
            "Attempts to deliver events to webhooks, by outcome.",
            ["endpoint", "host", "outcome"],
        )
        current = partial(Gauge, labelnames=["endpoint", "host"], registry=own, multiprocess_mode="livemostrecent")
        self._waiting = current("wxlogin_webhook_deliveries_waiting", "Deliveries that an endpoint has not received.")
        self._oldest = current("wxlogin_webhook_oldest_seconds", "Age of the oldest event that waits; 0 for none.")
        self._in_use = gauge("wxlogin_database_connections_in_use", "Connections to the database that are at work.")
        self._pool_size = gauge("wxlogin_database_pool_size", "Connections to the database there may be.")
        info = Gauge(
            "wxlogin_build_info",
            "The version that runs; always 1.",
            ["version", "python"],
            registry=own,
            multiprocess_mode="livemax",
        )
        info.labels(metadata.version("wxlogin"), platform.python_version()).set(1)
        for kind in EventType:
            self._events(kind)
        for reason in EndReason:
            self._ends(reason)
        for app in apps:
            self._logins(app.value, OK)
            self._new_users(app.value)

    def session_checked(self, outcome: str, number: int = 1) -> None:
        """Count a check of a token: `ok`, or the `code` of its error."""
        counts = self.session_checks.counts
        counts[outcome if outcome in counts else DEFECT.code] += number

    def publish(self, events: Sequence[Event]) -> None:
        """Count events by type, sessions that ended by reason, and new users by app."""
        for event in events:
            self._events(event.type).inc()
            if event.type is EventType.SESSION_ENDED:
                self._ends(event.reason).inc()
            elif event.type is EventType.USER_CREATED:
                self._new_users(event.app).inc()

    def logged_in(self, app: str) -> None:
        """Count a login."""
        self._logins(app, OK).inc()

    def login_failed(self, app: str, code: str) -> None:
        """Count a failed login."""
        self._logins(app, code).inc()

    def login_limited(self, limit: str) -> None:
        """Count a login that a limit refused."""
        self._refusals(limit).inc()

    def wechat_called(self, path: str, errcode: str, seconds: float) -> None:
        """Count and time a call to WeChat. `errcode` is 0 for success; the `code` of the error if it is unknown."""
        self._calls(path, errcode).inc()
        self._call_seconds(path).observe(seconds)

    def token_fetched(self, app: str, outcome: str) -> None:
        """Count a fetch of an access token."""
        self._tokens(app, outcome).inc()

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count and time a response. `route` is a pattern, not a path."""
        known = method if method in METHODS else "other"
        self._requests(known, route, status).inc()
        self._request_seconds(known, route).observe(seconds)

    def webhook_configured(self, endpoint: WebhookEndpoint) -> None:
        """Begin to count the attempts to an endpoint at 0, so that the first one is an increase."""
        for outcome in DeliveryOutcome:
            self._webhooks(endpoint.id, endpoint.host, outcome.value)

    def webhook_attempted(self, attempt: Attempt) -> None:
        """Count an attempt to deliver an event."""
        self._webhooks(attempt.endpoint.id, attempt.endpoint.host, attempt.outcome.value).inc()

    def webhooks_waiting(self, endpoint: WebhookEndpoint, waiting: int, oldest_seconds: float) -> None:
        """Set how many deliveries of an endpoint wait, and the age of the oldest event among them."""
        self._waiting.labels(endpoint.id, endpoint.host).set(waiting)
        self._oldest.labels(endpoint.id, endpoint.host).set(oldest_seconds)

    def connections_open(self, size: int) -> None:
        """Set the size of the database pool."""
        self._pool_size.set(size)

    def connections_used(self, count: int) -> None:
        """Set how many connections of the database are in use."""
        self._in_use.set(count)

    def expose(self, accept: str) -> tuple[bytes, str]:
        """Return all metrics and their content type: OpenMetrics if accepted, else the text format of Prometheus."""
        if "application/openmetrics-text" in accept:
            return openmetrics.generate_latest(self), openmetrics.CONTENT_TYPE_LATEST  # type: ignore[no-untyped-call]
        return generate_latest(self), CONTENT_TYPE_PLAIN_0_0_4

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics, without the creation times of counters, which differ between processes."""
        self.session_checks.flush()
        for source in (self._counted(), Processes(self._directory).collect()):
            for metric in source:
                metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
                yield metric

    def _counted(self) -> Iterable[Metric]:
        if self._directory is None:
            return self._registry.collect()
        files = [str(file) for file in self._directory.glob("*.db") if _is_made(file)]
        return MultiProcessCollector.merge(files)  # type: ignore[no-any-return, no-untyped-call]


def _labelled(kind: Callable[..., Any], registry: CollectorRegistry) -> Callable[..., Callable[..., Any]]:
    """Return a factory of metrics that cache their labelled children.

    The library takes 2 us to find a child. The labels of this service have few values.
    """
    return lambda *described, **options: cache(kind(*described, registry=registry, **options).labels)


CHECK_CODES = [
    *(kind.code for kind in OUTCOMES if issubclass(kind, Unauthenticated)),
    StoreUnavailable.code,
    DEFECT.code,
]
"""How a check of a token can end, beside well."""


class Processes(Collector):
    """The library's process_ metrics for each server process, labelled with its pid."""

    def __init__(self, directory: Path | None) -> None:
        self._pids = _living(directory) if directory else {os.getpid()}

    def collect(self) -> Iterable[Metric]:
        """Yield the metrics; nothing without /proc."""
        families: dict[str, Metric] = {}
        for pid in sorted(self._pids):
            for metric in ProcessCollector(pid=partial(int, pid), registry=None).collect():
                family = families.setdefault(metric.name, Metric(metric.name, metric.documentation, metric.type))
                family.samples += [sample._replace(labels={"pid": str(pid)}) for sample in metric.samples]
        return families.values()


@contextmanager
def shared_directory(workers: int) -> Iterator[None]:
    """Provide the directory in which several server processes count together, while the block runs.

    It is the operator's, if configured, else a temporary one, which is removed afterwards. Raises SettingsError if the
    configured one is not a directory, and if no temporary one can be created.
    """
    given = os.environ.get(DIRECTORY)
    if given is not None and not (given and Path(given).is_dir()):
        raise SettingsError(f"{DIRECTORY} is {given!r}, which is no directory.\n  hint: make it, or unset the variable")
    if given or workers == 1:
        yield
        return
    try:
        temporary = TemporaryDirectory(prefix="wxlogin-metrics-", ignore_cleanup_errors=True)
    except OSError:
        raise SettingsError(
            "Several server processes need a directory for temporary files, and none is writable."
            f"\n  hint: mount one on /tmp, or name one in TMPDIR or {DIRECTORY}"
        ) from None
    with temporary as directory:
        os.environ[DIRECTORY] = directory
        try:
            yield
        finally:
            del os.environ[DIRECTORY]


def count_in_directory() -> None:
    """Count this process's metrics in the shared directory, if there is one.

    prometheus-client reads the variable when it is imported, before the supervisor sets it, and has no documented way
    to do so later. Therefore pyproject.toml has an upper bound of its version.
    """
    values.ValueClass = values.get_value_class()  # type: ignore[no-untyped-call]


def forget_gauges(pid: int) -> None:
    """Delete the gauges of a process that has ended, and keep its counters. Does nothing without a directory."""
    if DIRECTORY in os.environ:
        mark_process_dead(pid)  # type: ignore[no-untyped-call]


def _is_made(file: Path) -> bool:
    """Return whether the file has content. The library fails at an empty file, which is just being created."""
    try:
        return file.stat().st_size > 0
    except FileNotFoundError:  # its process is gone, and its gauges were forgotten meanwhile
        return False


def _living(directory: Path) -> set[int]:
    """Return the processes whose gauges count, by the names of the library's files: it does not tell them otherwise."""
    return {int(file.stem.rpartition("_")[2]) for file in directory.glob("gauge_live*.db")}
