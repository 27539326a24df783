"""What is counted, and how it is told: the metrics of GET /metrics, each explained in docs/operations.md."""

import os
import platform
from collections.abc import Callable, Iterable, Iterator
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
from domain.identity import AppId
from domain.session import EndReason
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
    """All metrics of a service. Labels have values of ours only: never what a client sent, never a secret."""

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
            "How long it took until an answer began, /auth aside.",
            ["method", "route"],
            buckets=ANSWER_SECONDS,
        )
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
        for reason in EndReason:
            self._ends(reason)
        for app in apps:
            self._logins(app.value, OK)
            self._new_users(app.value)

    def session_checked(self, outcome: str, number: int = 1) -> None:
        """Count checks of tokens: `ok`, or the `code` of what they ended with."""
        counts = self.session_checks.counts
        counts[outcome if outcome in counts else DEFECT.code] += number

    def sessions_ended(self, reason: EndReason, number: int = 1) -> None:
        """Count sessions that ended before their time."""
        self._ends(reason).inc(number)

    def logged_in(self, app: str, *, is_new: bool, replaced: int) -> None:
        """A login, whether its user is new, and how many sessions gave way."""
        self._logins(app, OK).inc()
        if replaced:
            self.sessions_ended(EndReason.REPLACED, replaced)
        if is_new:
            self._new_users(app).inc()

    def login_failed(self, app: str, code: str) -> None:
        """A login that ended with an error."""
        self._logins(app, code).inc()

    def login_limited(self, limit: str) -> None:
        """A login refused by the limit of that name."""
        self._refusals(limit).inc()

    def wechat_called(self, path: str, errcode: str, seconds: float) -> None:
        """A call to WeChat. `errcode` is 0 for success, and a `code` of ours where WeChat gave none that is known."""
        self._calls(path, errcode).inc()
        self._call_seconds(path).observe(seconds)

    def token_fetched(self, app: str, outcome: str) -> None:
        """An access token was asked for."""
        self._tokens(app, outcome).inc()

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """An answer to a request over HTTP began. `route` is a pattern, not a path."""
        known = method if method in METHODS else "other"
        self._requests(known, route, status).inc()
        self._request_seconds(known, route).observe(seconds)

    def connections_open(self, size: int) -> None:
        """How many connections to the database there may be."""
        self._pool_size.set(size)

    def connection_used(self, more: int) -> None:
        """A connection to the database was taken (1) or given back (-1)."""
        self._in_use.inc(more)

    def expose(self, accept: str) -> tuple[bytes, str]:
        """All metrics and their content type: OpenMetrics for who accepts it, else the text of Prometheus."""
        if "application/openmetrics-text" in accept:
            return openmetrics.generate_latest(self), openmetrics.CONTENT_TYPE_LATEST  # type: ignore[no-untyped-call]
        return generate_latest(self), CONTENT_TYPE_PLAIN_0_0_4

    def collect(self) -> Iterator[Metric]:
        """Every metric, without the times at which its counters were made: several processes have none in common."""
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
    """Makes metrics of a kind, and of each what gives the one with these labels.

    The library takes 2 us to do so, for text of any number; ours are few, and are kept at hand.
    """
    return lambda *told, **options: cache(kind(*told, registry=registry, **options).labels)


CHECK_CODES = [
    *(kind.code for kind in OUTCOMES if issubclass(kind, Unauthenticated)),
    StoreUnavailable.code,
    DEFECT.code,
]
"""How a check of a token can end, beside well."""


class Processes(Collector):
    """The library's process_ metrics, for each of the processes that serve, by their number."""

    def __init__(self, directory: Path | None) -> None:
        self._pids = _living(directory) if directory else {os.getpid()}

    def collect(self) -> Iterable[Metric]:
        """Nothing where there is no /proc."""
        families: dict[str, Metric] = {}
        for pid in sorted(self._pids):
            for metric in ProcessCollector(pid=partial(int, pid), registry=None).collect():
                family = families.setdefault(metric.name, Metric(metric.name, metric.documentation, metric.type))
                family.samples += [sample._replace(labels={"pid": str(pid)}) for sample in metric.samples]
        return families.values()


@contextmanager
def shared_directory(workers: int) -> Iterator[None]:
    """Name the directory in which several workers count together, for as long as the block lasts.

    It is a temporary one, removed afterwards, unless the operator has named one, which stays as it is. Raises
    SettingsError when that is no directory.
    """
    given = os.environ.get(DIRECTORY)
    if given is not None and not (given and Path(given).is_dir()):
        raise SettingsError(f"{DIRECTORY} is {given!r}, which is no directory.\n  hint: make it, or unset the variable")
    if given or workers == 1:
        yield
        return
    with TemporaryDirectory(prefix="wxlogin-metrics-", ignore_cleanup_errors=True) as directory:
        os.environ[DIRECTORY] = directory
        try:
            yield
        finally:
            del os.environ[DIRECTORY]


def count_in_directory() -> None:
    """Let this process's metrics be counted in the shared directory, if one is named.

    prometheus-client decides so by the variable when it is imported, which is before the supervisor has set it. It has
    no documented way to decide later. Hence the upper bound of its version in pyproject.toml.
    """
    values.ValueClass = values.get_value_class()  # type: ignore[no-untyped-call]


def forget_gauges(pid: int) -> None:
    """Drop what a process that has ended had in use. What it counted stays. Nothing happens without a directory."""
    if DIRECTORY in os.environ:
        mark_process_dead(pid)  # type: ignore[no-untyped-call]


def _is_made(file: Path) -> bool:
    """Whether there is anything in it: one that is just being made is empty, and the library fails at it."""
    try:
        return file.stat().st_size > 0
    except FileNotFoundError:  # its process is gone, and its gauges were forgotten meanwhile
        return False


def _living(directory: Path) -> set[int]:
    """Return the processes whose gauges count, by the names of the library's files: it does not tell them otherwise."""
    return {int(file.stem.rpartition("_")[2]) for file in directory.glob("gauge_live*.db")}
