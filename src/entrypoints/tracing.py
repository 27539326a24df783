"""Trace requests, calls to WeChat, and operations of Redis and the database, with OpenTelemetry.

It needs the extra `tracing`. The standard variables configure it: OTEL_EXPORTER_OTLP_ENDPOINT is the collector. No
attribute contains data of a client or of WeChat: no query, header, body or parameter of a statement.
"""

import inspect
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from typing import Any

from dependency_injector import providers
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from entrypoints.container import Container
from entrypoints.http.dependencies import header_of, route_of
from entrypoints.log import log

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
STORES = ("session_store", "key_vault", "token_store", "rate_limiter", "device_grants")
"""The ports whose adapters may have a server of their own."""

NOT_TRACED = ("sql", "memory")
"""The technologies of stores that are traced elsewhere, as the database is, or have no server."""

Name = Callable[..., tuple[str, dict[str, str]]]
"""Returns a span's name and attributes for the arguments of a call."""


class Tracing:
    """Creates spans, and sends them to the collector until `close`."""

    def __init__(self) -> None:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        version = metadata.version("wxlogin")
        named = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": "wxlogin"}
        self._trace = trace
        self._provider = TracerProvider(resource=Resource.create({"service.version": version, **named}))
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("wxlogin", version)
        self._parent_of = TraceContextTextMapPropagator().extract

    def requests(self, app: ASGIApp) -> ASGIApp:
        """Return `app` with a span for each request, which continues the trace of its traceparent."""

        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            method = scope["method"]  # type: ignore[typeddict-item]  # nothing else answers in HTTP
            parent = self._parent_of({"traceparent": header_of(scope, b"traceparent")})
            attributes = {"http.request.method": method, "url.scheme": scope["scheme"]}
            with self._span(method, self._trace.SpanKind.SERVER, attributes, parent) as span:

                async def sending(message: Message) -> None:
                    if message["type"] == "http.response.start":
                        span.set_attribute("http.response.status_code", message["status"])
                        if message["status"] >= 500:
                            span.set_status(self._trace.StatusCode.ERROR)
                    await send(message)

                await app(scope, receive, sending)
                route = "/auth" if scope["path"].startswith("/auth") else route_of(scope)
                span.update_name(f"{method} {route}")
                span.set_attribute("http.route", route)

        return application

    def watch(self, container: Container) -> None:
        """Trace the calls to WeChat, the stores and the database of all objects that the container builds later."""
        settings = container.settings()
        sql = settings.database_url.get_secret_value().partition("+")[0]
        container.transport.override(providers.Object(Traced(container.transport(), self._client, _of_wechat)))
        container.database.override(providers.Object(Traced(container.database(), self._client, _of_sql(sql))))
        for name in STORES:
            port = getattr(container, name)
            technology = type(port()).__module__.split(".")[1]  # adapters.<technology>.<module>
            if technology not in NOT_TRACED:
                port.override(providers.Object(Traced(port(), self._client, _of_store(technology))))

    def close(self) -> None:
        """Send the remaining spans."""
        self._provider.shutdown()

    @contextmanager
    def _client(self, name: str, attributes: dict[str, str]) -> Iterator[None]:
        with self._span(name, self._trace.SpanKind.CLIENT, attributes):
            yield

    @contextmanager
    def _span(self, name: str, kind: Any, attributes: dict[str, str], parent: Any = None) -> Iterator[Any]:
        with self._tracer.start_as_current_span(
            name, parent, kind, attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield span
            except BaseException as error:
                span.set_attribute("error.type", type(error).__name__)  # its text may hold what was sent
                span.set_status(self._trace.StatusCode.ERROR)
                raise


class Traced:
    """A wrapper that runs each coroutine of an object in a span, named by `name`."""

    def __init__(self, inner: Any, span: Callable[[str, dict[str, str]], Any], name: Name) -> None:
        self._inner, self._span, self._name = inner, span, name

    def __getattr__(self, attribute: str) -> Any:
        method = getattr(self._inner, attribute)
        if not inspect.iscoroutinefunction(method):
            return method

        async def traced(*args: Any, **kwargs: Any) -> Any:
            with self._span(*self._name(method, *args)):
                return await method(*args, **kwargs)

        return traced


def start_tracing() -> Tracing | None:
    """Return what traces as the environment says; None when it names no collector, or the extra is not installed."""
    if not any(map(os.environ.get, ENDPOINTS)) or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    try:
        return Tracing()
    except ImportError:
        log.warning("tracing_unavailable", hint="pip install wxlogin[tracing]")
        return None


def _of_wechat(send: Any, *args: Any) -> tuple[str, dict[str, str]]:
    if send.__name__ != "handle_async_request":
        return send.__name__, {}
    [request] = args
    where = {"server.address": request.url.host, "url.path": request.url.path}  # the query has the AppSecret
    return f"{request.method} {request.url.path}", {"http.request.method": request.method, **where}


def _of_sql(system: str) -> Name:
    def name(method: Any, *args: Any) -> tuple[str, dict[str, str]]:
        work = getattr(args[0], "func", args[0]) if args else method  # a partial is named by its function
        operation = work.__qualname__.partition(".<locals>")[0]
        return f"{system} {operation}", {"db.system.name": system, "db.operation.name": operation}

    return name


def _of_store(technology: str) -> Name:
    def name(method: Any, *_args: Any) -> tuple[str, dict[str, str]]:
        operation = method.__qualname__
        return f"{technology} {operation}", {"db.system.name": technology, "db.operation.name": operation}

    return name
