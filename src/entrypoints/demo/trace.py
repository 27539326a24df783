"""The demo's record of a request: each call of a port, with its times, its arguments and its result."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import msgspec
from cachetools import LRUCache
from dependency_injector import providers

from domain.errors import StoreUnavailable, WxLoginError
from domain.identity import AppId, Identity, LoginCode
from domain.session import EndedSession, EndReason, Session
from domain.session_key import SessionKey
from domain.user import User
from entrypoints.container import Container

MAX_TRACES = 100
"""The number of requests whose traces are kept."""

PORTS = ("identities", "user_repository", "session_store")

CALLS = {
    ("identities", "exchange"): ("code2Session", "openid, session_key"),
    ("user_repository", "find_or_create"): ("find or create", "user"),
    ("user_repository", "get"): ("find", "user"),
    ("user_repository", "ids_of"): ("find ids", "ids"),
    ("user_repository", "block"): ("block", "user"),
    ("session_store", "start"): ("start", "stored, key encrypted"),
    ("session_store", "find"): ("find", "session"),
    ("session_store", "touch"): ("touch", "later expiry stored"),
    ("session_store", "list_for_user"): ("list", "sessions"),
    ("session_store", "end"): ("end", "ended, reason kept"),
}
"""The labels of each call and of its return."""

AGAIN = ("find again", "neither blocked nor merged")
"""The second call of `find_or_create` in a login."""


class Step(msgspec.Struct, frozen=True):
    """A call of a port. Times are milliseconds since the start of the request.

    `sent` and `received` are the arguments and the result, with secrets masked. `error` is the code of the
    error that it raised.
    """

    port: str
    call: str
    answer: str
    sent: str
    received: str
    began: float
    ended: float
    error: str | None = None


class Trace(msgspec.Struct):
    """A request: its steps, how many milliseconds it took, and the ports that do not answer it on purpose."""

    failing: set[str]
    began: float = msgspec.field(default_factory=time.perf_counter)
    steps: list[Step] = msgspec.field(default_factory=list)
    took: float = 0

    def milliseconds(self) -> float:
        """Return the time since the start."""
        return (time.perf_counter() - self.began) * 1000

    def label(self, port: str, method: str) -> tuple[str, str]:
        """Return how the next call is labelled, and its return."""
        labels = CALLS.get((port, method), (method, "done"))
        repeated = method == "find_or_create" and any(step.call == labels[0] for step in self.steps)
        return AGAIN if repeated else labels


CURRENT: ContextVar[Trace | None] = ContextVar("trace", default=None)


class Traces:
    """The traces of the latest requests, by request id."""

    def __init__(self) -> None:
        self._kept: LRUCache[str, Trace] = LRUCache(MAX_TRACES)
        self._failing: set[str] = set()

    def fail(self, port: str) -> None:
        """Make the port raise StoreUnavailable during the next request."""
        self._failing.add(port)

    def get(self, request_id: str) -> Trace | None:
        """Return the trace of a request that is over."""
        return self._kept.get(request_id)

    @asynccontextmanager
    async def record(self, request_id: str) -> AsyncIterator[None]:
        """Record the calls of ports in the block as the request of this id."""
        trace, self._failing = Trace(self._failing), set()
        token = CURRENT.set(trace)
        try:
            yield
        finally:
            CURRENT.reset(token)
            trace.took = trace.milliseconds()
            self._kept[request_id] = trace

    def watch(self, container: Container) -> None:
        """Record the calls of the container's ports."""
        for name in PORTS:
            provider: providers.Provider[Any] = getattr(container, name)
            provider.override(providers.Object(Traced(provider(), name)))


class Traced:
    """A wrapper of a port that records each call in the trace of its request."""

    def __init__(self, inner: Any, port: str) -> None:
        self._inner, self._port = inner, port

    def __getattr__(self, name: str) -> Any:
        method: Callable[..., Awaitable[Any]] = getattr(self._inner, name)

        async def traced(*args: Any) -> Any:
            trace = CURRENT.get()
            if trace is None:
                return await method(*args)
            call, answer = trace.label(self._port, name)
            began, received, error = trace.milliseconds(), "", None
            try:
                if self._port in trace.failing:
                    raise StoreUnavailable("The demo makes this call fail")
                result = await method(*args)
                received = shown(result)
                return result
            except WxLoginError as raised:
                error = raised.code if raised.errcode is None else f"{raised.code} (errcode {raised.errcode})"
                raise
            finally:
                ended = trace.milliseconds()
                trace.steps.append(Step(self._port, call, answer, shown(args), received, began, ended, error))

        return traced


def shown(value: object) -> str:
    """Return what the diagram shows of arguments or of a result: the beginning of codes and ids, and no key."""
    match value:
        case LoginCode():
            return f"code {shorten(value.value)}"
        case SessionKey():
            return "session_key ••••••"
        case Identity():
            return f"openid {shorten(value.openid, 8)}"
        case User():
            return f"user {shorten(value.id, 8)}"
        case Session():
            return f"session {shorten(value.id, 8)}"
        case EndedSession():
            return value.reason
        case EndReason() | AppId():
            return str(value)
        case str():
            return shorten(value, 8)
        case tuple() | list():
            return ", ".join(filter(None, map(shown, value)))
    return ""


def shorten(text: str, characters: int = 4) -> str:
    """Return the beginning of a text."""
    return f"{text[:characters]}…"
