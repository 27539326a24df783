"""Answers to repeated polls of /oauth2/token, in front of the framework.

A website polls every two seconds, with the same bytes each time. Once the framework has answered a request with
authorization_pending, its credentials and its code are known to be right, so the same bytes need no parsing.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType

from litestar.types import ASGIApp, Receive, Scope, Send

from application.scans import WATCH_SECONDS, Scans
from domain.device_grant import PollRefusal
from domain.errors import StoreUnavailable
from entrypoints.http.dependencies import runtime_of
from entrypoints.http.middleware import REQUEST_ID_HEADER, SECURITY_HEADERS, request_id_of
from entrypoints.http.raw import NO_STORE, RawResponse
from entrypoints.log import log, log_error

PATH = "/oauth2/token"

DESCRIPTIONS: Mapping[PollRefusal, str] = MappingProxyType(
    {
        PollRefusal.AUTHORIZATION_PENDING: "The user has not answered yet",
        PollRefusal.SLOW_DOWN: "Wait 5 seconds longer from now on",
        PollRefusal.ACCESS_DENIED: "The user refused, logged out or is blocked",
        PollRefusal.EXPIRED_TOKEN: "The scan expired; start another one",
        PollRefusal.INVALID_GRANT: "The device code is unknown, used, or of another client",
    }
)

RESPONSES = {
    refusal: RawResponse.json(400, {"error": refusal.value, "error_description": DESCRIPTIONS[refusal]}, NO_STORE)
    for refusal in (PollRefusal.AUTHORIZATION_PENDING, PollRefusal.SLOW_DOWN)
}


def with_known_polls(app: ASGIApp) -> ASGIApp:
    """Return `app`, the one of PATH, behind the answers to known polls."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        refusal = await _refuse(scope, receive)
        if refusal is None:
            await app(scope, receive, send)
            return
        status, headers, body = RESPONSES[refusal]
        request_id = (REQUEST_ID_HEADER, request_id_of(scope["headers"]).encode())
        await RawResponse(status, [*headers, *SECURITY_HEADERS, request_id], body).send(send)
        metrics = runtime_of(scope["litestar_app"].state).container.metrics()
        metrics.answered("POST", PATH, status, time.perf_counter() - began)

    return application


async def _refuse(scope: Scope, receive: Receive) -> PollRefusal | None:
    if scope["method"] != "POST":  # type: ignore[typeddict-item]  # nothing else answers in HTTP
        return None
    message = await receive()  # the whole body, which the edge has read, and returns again
    runtime = runtime_of(scope["litestar_app"].state)
    return runtime.polls.refuse(scope["headers"], message["body"], runtime.container.scans())  # type: ignore[typeddict-item]  # as above


@asynccontextmanager
async def watching(scans: Scans) -> AsyncIterator[None]:
    """Watch the polled grants while the block runs. While the store is away, each poll asks it."""
    task = asyncio.create_task(_watch(scans))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _watch(scans: Scans) -> None:
    while True:
        await asyncio.sleep(WATCH_SECONDS)
        try:
            await scans.watch()
        except StoreUnavailable as error:
            log_error(error, "scans")
        except Exception as error:  # noqa: BLE001  # a defect here ends no service
            log.error("defect", where="scans", exc_info=error)
