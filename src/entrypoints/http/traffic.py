"""Count and time requests by route."""

import time

from litestar.types import ASGIApp, Message, Receive, Scope, Send

from entrypoints.http.errors import route_of


def counted(app: ASGIApp) -> ASGIApp:
    """Return `app`, with each response counted at its start, when the route is known."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()

        async def counting(message: Message) -> None:
            if message["type"] == "http.response.start":
                answered = scope["litestar_app"].state.container.metrics().answered
                method = scope["method"]  # type: ignore[typeddict-item]  # nothing else answers in HTTP
                answered(method, route_of(scope), message["status"], time.perf_counter() - began)
            await send(message)

        await app(scope, receive, counting)

    return application
