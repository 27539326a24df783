"""/healthz, /readyz and /metrics, for operators."""

from dataclasses import dataclass
from typing import Literal

import msgspec
from litestar import Response, Router, get
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.openapi import ResponseSpec
from litestar.openapi.spec import OpenAPIResponse, Operation
from litestar.params import FromQuery

from application.readiness import Readiness
from entrypoints.http.dependencies import CallerRequest, runtime_of
from entrypoints.log import log


class Health(msgspec.Struct, frozen=True):
    """The process answers."""

    status: Literal["ok"] = "ok"


Status = Literal["ok", "unavailable", "stopping"]


class Ready(msgspec.Struct, frozen=True):
    """The state of each store that the service needs, and of the service itself."""

    status: Literal["ok", "unavailable"]
    checks: dict[str, Status]


@get("/healthz", sync_to_thread=False)
def show_health() -> Health:
    """Return 200 while the process runs. Nothing else is checked: a failed database must not restart processes."""
    return Health()


@get("/readyz", responses={503: ResponseSpec(Ready, description="Names what does not answer")})
async def show_readiness(
    readiness: NamedDependency[Readiness], state: State, exclude: FromQuery[Literal["stores"] | None] = None
) -> Response[Ready]:
    """Return whether database and session store answer; 503 names which does not, or that the service is stopping.

    The log says why. With `exclude=stores`, 503 means that the service is stopping: for gateways, which should send
    requests to an instance without its database, because most of them succeed.
    """
    checks: dict[str, Status] = {"service": "stopping"} if runtime_of(state).lifecycle.service_stopping else {}
    for store, wrong in ({} if exclude else await readiness()).items():
        checks[store] = "unavailable" if wrong else "ok"
        if wrong:
            log.warning("store_unavailable", where="/readyz", store=store, detail=wrong)
    if {"unavailable", "stopping"} & set(checks.values()):
        return Response(Ready("unavailable", checks), status_code=503)
    return Response(Ready("ok", checks))


@dataclass
class Scrape(Operation):
    """The schema of /metrics, which has two formats where the framework expects one."""

    def __post_init__(self) -> None:
        match self.responses:
            case {"200": OpenAPIResponse(content=dict(formats))}:
                formats["application/openmetrics-text"] = formats["text/plain"]


# in a thread: it reads files, and requests should not wait for that
@get("/metrics", media_type="text/plain", operation_class=Scrape, tags=["Operations"], sync_to_thread=True)
def show_metrics(request: CallerRequest, state: State) -> Response[bytes]:
    """Return the metrics of all processes, in the format of OpenMetrics if accepted, else of Prometheus."""
    body, content_type = runtime_of(state).container.metrics().expose(request.headers.get("accept", ""))
    return Response(body, headers={"content-type": content_type})


router = Router("/", tags=["Operations"], route_handlers=[show_health, show_readiness])
