"""The application."""

from collections.abc import Mapping

from litestar import Litestar

from wechat_sandbox.asgi import Sandbox
from wechat_sandbox.calls import Calls
from wechat_sandbox.clock import Clock
from wechat_sandbox.controls import controls
from wechat_sandbox.faults import Faults
from wechat_sandbox.problems import PROBLEMS
from wechat_sandbox.requests import MAX_BODY_BYTES
from wechat_sandbox.wechat import WeChat


def create_sandbox(apps: Mapping[str, str] | None = None, *, any_host: bool = False) -> Litestar:
    """Return a sandbox with a state of its own, in memory, for httpx2's ASGITransport or one uvicorn process.

    `apps` maps appid to secret. Without any, every appid is an app with any secret of 32 hex digits. The controls
    accept requests of this machine only, unless `any_host`.
    """
    clock, faults, calls = Clock(), Faults(), Calls()
    wechat = WeChat(clock, apps)
    app = Litestar(
        route_handlers=[controls(wechat, clock, faults, calls, any_host=any_host)],
        exception_handlers=PROBLEMS,
        openapi_config=None,
        logging_config=None,
        request_max_body_size=MAX_BODY_BYTES,
    )
    app.asgi_handler = Sandbox(app.asgi_handler, wechat, clock, faults, calls)
    return app
