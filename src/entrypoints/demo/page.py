"""The page of the demo: a login drawn step by step, and what can go wrong."""

from collections.abc import Callable
from datetime import datetime, timedelta
from importlib.resources import files
from typing import Any, Literal

import msgspec
from litestar import Litestar, MediaType, delete, get, post, put
from litestar.params import FromPath, JSONBody

from domain.errors import NotFound
from domain.event import CLI
from entrypoints.container import Container, utc_now
from entrypoints.demo.trace import Trace, Traces
from entrypoints.http.docs import with_policy
from entrypoints.http.errors import EXCEPTION_HANDLERS
from entrypoints.settings import Settings


class MovableClock:
    """The real time, and what was added to it. The service and the page share one."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def __call__(self) -> datetime:
        """Return the time of the demo, in UTC."""
        return utc_now() + self._ahead

    def advance(self, duration: timedelta) -> None:
        """Move the time of the demo forward."""
        self._ahead += duration


class ConsoleAccess(msgspec.Struct, frozen=True):
    """The address of the console, and the admin key of the demo."""

    url: str
    key: str


class Outage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The store that does not answer the next request."""

    store: Literal["user_repository", "session_store"]


def create_page(
    settings: Settings,
    traces: Traces,
    clock: MovableClock,
    container: Callable[[], Container],
    access: ConsoleAccess | None,
) -> Litestar:
    """Return the application of the page at `/` and of its controls at `/demo/`.

    The service's own calls do the rest: the page is the phone.
    """

    @get("/", media_type=MediaType.HTML, sync_to_thread=False)
    def show_page() -> bytes:
        return files("entrypoints.demo").joinpath("page.html").read_bytes()

    @get("/demo/settings", sync_to_thread=False)
    def show_settings() -> dict[str, Any]:
        fields = {"appid", "session_idle_seconds", "session_max_seconds", "sessions_per_user"}
        return {**settings.model_dump(include=fields), "console": access}

    @get("/demo/traces/{request_id:str}", sync_to_thread=False)
    def show_trace(request_id: FromPath[str]) -> Trace:
        if not (trace := traces.get(request_id)):
            raise NotFound
        return trace

    @post("/demo/outages", status_code=204, sync_to_thread=False)
    def add_outage(data: JSONBody[Outage]) -> None:
        traces.fail(data.store)

    @post("/demo/expiry", status_code=204, sync_to_thread=False)
    def expire_sessions() -> None:
        clock.advance(timedelta(seconds=settings.session_idle_seconds))

    @put("/demo/users/{user_id:str}/block")
    async def block(user_id: FromPath[str]) -> dict[str, int]:
        return {"sessions_ended": await container().block_users().block(user_id, CLI)}

    @delete("/demo/users/{user_id:str}/block")
    async def unblock(user_id: FromPath[str]) -> None:
        await container().block_users().unblock(user_id, CLI)

    return Litestar(
        [show_page, show_settings, show_trace, add_outage, expire_sessions, block, unblock],
        after_request=with_policy,
        exception_handlers=EXCEPTION_HANDLERS,
        openapi_config=None,
        logging_config=None,
    )
