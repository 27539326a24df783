"""/healthz and /readyz: for whoever keeps the service running."""

from typing import Literal

import msgspec
from litestar import Response, Router, get
from litestar.di import NamedDependency
from litestar.openapi import ResponseSpec

from application.readiness import Readiness


class Health(msgspec.Struct, frozen=True):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Ready(msgspec.Struct, frozen=True):
    """What the service needs; each is "ok" or what is wrong with it."""

    status: Literal["ok", "unavailable"]
    checks: dict[str, str]


@get("/healthz", sync_to_thread=False)
def show_health() -> Health:
    """Whether the process answers. It asks nothing else, so that a dead database restarts no process."""
    return Health()


@get("/readyz", responses={503: ResponseSpec(Ready, description="Names what does not answer")})
async def show_readiness(readiness: NamedDependency[Readiness]) -> Response[Ready]:
    """Whether database and session store answer; 503 names which does not."""
    checks = await readiness()
    ok = not any(checks.values())
    answer = Ready("ok" if ok else "unavailable", {name: wrong or "ok" for name, wrong in checks.items()})
    return Response(answer, status_code=200 if ok else 503)


router = Router("/", tags=["Operations"], route_handlers=[show_health, show_readiness])
