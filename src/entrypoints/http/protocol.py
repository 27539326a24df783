"""uvicorn's HTTP protocol, with a short way for /auth.

Half of what a check costs is what stands between the parser and the application: the scope, the messages, each header
on its way through two regular expressions. A check needs none of it.
"""

import asyncio
from typing import Any

from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from entrypoints.http.auth import PATHS
from entrypoints.http.plain import PlainAnswer

URLS = tuple(path.encode() for path in PATHS)
"""As gateways send them. What has a query goes the long way, to the same answer."""

NOBODY_WAITS = asyncio.Event()
"""What uvicorn sets when more of a request is here: nobody waits for it."""

LINGER_SECONDS = 1.0
"""How long an idle connection outlives the order to stop, unless its client sends something, and is told."""


class AuthCycle(RequestResponseCycle):
    """One request to /auth and its answer, without ASGI in between; a body is of no interest.

    It has what HttpToolsProtocol asks a cycle for, and no more: making all of one costs 3 us.
    """

    def __init__(self, protocol: HttpToolsProtocol, *, keep_alive: bool) -> None:
        self.scope = protocol.scope
        self.transport = protocol.transport
        self.flow = protocol.flow
        self.default_headers = protocol.server_state.default_headers
        self.message_event = NOBODY_WAITS
        self.tasks = protocol.tasks
        self.on_response = protocol.on_response_complete
        self.keep_alive = keep_alive
        self.disconnected = False
        self.more_body = True
        self.response_complete = False
        self.body = bytearray()

    def answer(self, verdict: PlainAnswer) -> None:
        """Send it, as soon as the client takes in what was sent before, and unless it is gone."""
        if self.flow.write_paused:
            task = asyncio.create_task(self._answer_later(verdict))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        elif not self.transport.is_closing():
            self._answer(verdict)

    async def _answer_later(self, verdict: PlainAnswer) -> None:
        await self.flow.drain()
        self.answer(verdict)

    def _answer(self, verdict: PlainAnswer) -> None:
        self.transport.write(self._encode(verdict))
        self.response_complete = True
        if not self.keep_alive:
            self.transport.close()
        self.on_response()

    def _encode(self, verdict: PlainAnswer) -> bytes:
        lines = [STATUS_LINE[verdict.status]]
        for name, value in (*self.default_headers, *verdict.headers):
            lines += (name, b": ", value, b"\r\n")
        if not self.keep_alive:
            lines.append(b"connection: close\r\n")
        lines.append(b"\r\n")
        if self.scope["method"] != "HEAD":
            lines.append(verdict.body)
        return b"".join(lines)


class HttpProtocol(HttpToolsProtocol):
    """HttpToolsProtocol, with AuthCycle for /auth, and a stop that breaks no request off."""

    stopping = False

    def shutdown(self) -> None:
        """Hang up after the next answer, or in a second: a request may be on its way (RFC 9112 section 9.6)."""
        self.stopping = True
        if self.cycle is None or self.cycle.response_complete:
            self.loop.call_later(LINGER_SECONDS, super().shutdown)
        else:
            super().shutdown()

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio's, of which uvicorn makes None
        """Hang up; on a client that has asked all it will and waits, after the answer (RFC 9112 section 9.6)."""
        if self.cycle is None or self.cycle.response_complete or self.cycle.more_body:
            return False
        self.cycle.keep_alive = False
        return True

    def on_headers_complete(self) -> None:
        """Start the request, or queue it up behind those that came before it on this connection."""
        if self.url in URLS:
            self._start_check()
        else:
            super().on_headers_complete()
        if self.stopping:
            self.cycle.keep_alive = False

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """uvicorn calls this, too, when the answers to earlier requests of the connection are sent."""
        if isinstance(cycle, AuthCycle):
            service: Any = app.app if isinstance(app, ProxyHeadersMiddleware) else app
            service.state.checks.add(cycle.scope["headers"], cycle.answer)
        else:
            super()._start_asgi_task(cycle, app)

    def _start_check(self) -> None:
        self.scope["method"] = self.parser.get_method().decode("ascii")
        keep_alive = self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive()
        previous, self.cycle = self.cycle, AuthCycle(self, keep_alive=keep_alive)
        if previous is None or previous.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))
