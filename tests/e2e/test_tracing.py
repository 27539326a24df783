"""Traces: a collector gets a request with the calls that it waits for, and no secret."""

from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from support.collector import Collector, Span, collector
from support.faults import workers_of
from support.processes import KEY, SECRET, Sandbox, Service, environment, service
from support.servers import wait_until

SERVER, CLIENT = 2, 3
"""The kinds of spans in OTLP."""

PARENT = "00f067aa0ba902b7"


def traceparent(number: int) -> tuple[str, str]:
    """Return a trace id and its traceparent header."""
    trace_id = f"{number:032x}"
    return trace_id, f"00-{trace_id}-{PARENT}-01"


class Traced:
    """A service that sends its traces to a collector."""

    def __init__(self, running: Service, seen: Collector, *, has_redis: bool) -> None:
        self.service = running
        self.has_redis = has_redis
        self._seen = seen
        self._numbers = iter(range(1 + 1000 * has_redis, 1000 + 1000 * has_redis))

    def send(self, method: str, path: str, **options: Any) -> tuple[Any, list[Span]]:
        """Send a request in a new trace, and return its answer and the spans of the trace."""
        trace_id, header = traceparent(next(self._numbers))
        headers = {**options.pop("headers", {}), "traceparent": header}
        answer = self.service.http.request(method, path, headers=headers, **options)
        wait_until(lambda: any(span.kind == SERVER for span in self._seen.of(trace_id)), "the trace")
        return answer, self._seen.of(trace_id)


@pytest.fixture(scope="module")
def seen() -> Iterator[Collector]:
    """A running collector."""
    with collector() as running:
        yield running


@pytest.fixture(scope="module", params=["database", "redis"])
def traced(
    request: pytest.FixtureRequest, seen: Collector, sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Traced]:
    """A service with its sessions in either store, which sends its traces to the collector."""
    url = f"sqlite+aiosqlite:///{tmp_path_factory.mktemp('traced')}/wxlogin.db"
    redis = {"redis_url": request.getfixturevalue("redis_url")} if request.param == "redis" else {}
    otel = {"OTEL_EXPORTER_OTLP_ENDPOINT": seen.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    with service(env=environment(database_url=url, wechat_url=sandbox.url, **redis) | otel) as running:
        yield Traced(running, seen, has_redis=bool(redis))


def spans_of(spans: list[Span], **attributes: str) -> list[Span]:
    """Return the spans that have these attributes. In the names, underscores stand for dots."""
    wanted = {name.replace("_", "."): value for name, value in attributes.items()}
    return [span for span in spans if wanted.items() <= span.attributes.items()]


def test_a_login_is_one_trace(traced: Traced, sandbox: Sandbox) -> None:
    """The request continues the caller's trace, and the calls to WeChat and to the database are its children."""
    answer, spans = traced.send("POST", "/v1/sessions", json={"code": sandbox.code()})
    (request,) = [span for span in spans if span.kind == SERVER]
    (wechat,) = spans_of(spans, url_path="/sns/jscode2session")

    assert answer.status_code == 201
    assert (request.name, request.parent_id, request.failed) == ("POST /v1/sessions", PARENT, False)
    assert request.attributes["http.response.status_code"] == "201"
    assert (wechat.name, wechat.kind, wechat.parent_id) == ("GET /sns/jscode2session", CLIENT, request.span_id)
    assert spans_of(spans, db_system_name="sqlite")
    assert {span.trace_id for span in spans} == {request.trace_id}


def test_redis_is_in_the_trace(traced: Traced, sandbox: Sandbox) -> None:
    """With sessions in Redis, the operations in Redis have their own spans."""
    _, spans = traced.send("POST", "/v1/sessions", json={"code": sandbox.code()})
    found = [span.attributes["db.operation.name"] for span in spans_of(spans, db_system_name="redis")]

    assert ("RedisSessionStore.start" in found) == traced.has_redis


def test_a_check_is_traced(traced: Traced, sandbox: Sandbox) -> None:
    """A request to /auth has a span, whether it is accepted or refused."""
    token = traced.service.log_in(sandbox.code())["token"]
    for headers, status in (({"Authorization": f"Bearer {token}"}, "204"), ({}, "401")):
        _, spans = traced.send("GET", "/auth", headers=headers)

        (request,) = [span for span in spans if span.kind == SERVER]
        assert (request.name, request.attributes["http.response.status_code"]) == ("GET /auth", status)


def test_a_failure_is_marked(traced: Traced, sandbox: Sandbox) -> None:
    """When WeChat closes the connection, the spans of the call and of the request are marked as failed."""
    code = sandbox.code()
    sandbox.fail(drop=True)
    answer, spans = traced.send("POST", "/v1/sessions", json={"code": code})
    (request,) = [span for span in spans if span.kind == SERVER]
    (wechat,) = spans_of(spans, url_path="/sns/jscode2session")

    assert answer.status_code == 503
    assert request.failed
    assert wechat.failed
    assert wechat.attributes["error.type"]


def test_a_span_has_the_pattern_of_the_path(traced: Traced) -> None:
    """No span contains the path parameters or the query of a request."""
    _, spans = traced.send("GET", "/v1/sessions/secret-in-the-path?token=secret-in-the-query")
    _, lost = traced.send("GET", "/secret-in-the-path")

    assert [span.name for span in lost if span.kind == SERVER] == ["GET no route"]
    assert "secret-in" not in str(spans + lost)


def test_no_secret_is_exported(traced: Traced, seen: Collector, sandbox: Sandbox) -> None:
    """The exported data contains no code, token, AppSecret, encryption key, openid or phone number."""
    openid, phone = "o-of-a-traced-user", "+8613800001234"
    code, phone_code = sandbox.code(openid=openid), sandbox.phone_code(phone=phone)
    login = traced.service.log_in(code)
    bearer = {"Authorization": f"Bearer {login['token']}"}
    traced.service.http.put("/v1/me/phone", json={"code": phone_code}, headers=bearer)
    data = sandbox.encrypt(openid, {"openId": openid, "watermark": {"appid": "x", "timestamp": 1}})
    sent = {name: data[name] for name in ("encryptedData", "iv")}
    traced.service.http.post("/v1/wechat/decrypt", json=sent, headers=bearer)
    traced.send("DELETE", "/v1/sessions/current", headers=bearer)
    secret = [code, phone_code, login["token"], SECRET, KEY, openid, phone, data["encryptedData"], data["iv"]]

    assert [each for each in secret if each.encode() in seen.received] == []
    assert len(seen.spans) > 5


def test_without_a_collector_nothing_is_traced(service: Service) -> None:
    """Without a collector the service does not import the tracing libraries."""
    (worker,) = workers_of(service)
    mapped = [each.path for each in psutil.Process(worker).memory_maps()]

    assert not [path for path in mapped if "google/_upb" in path or "opentelemetry" in path]
