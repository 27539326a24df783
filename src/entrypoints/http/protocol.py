"""uvicorn's HTTP protocol, with a short way for /auth.

Half of what a check costs is what stands between the parser and the application: the scope, the messages, each header
on its way through two regular expressions. A check needs none of it.
"""

import asyncio
from typing import Any

from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from entrypoints.http.auth import Verdict, judge

URLS = (b"/auth", b"/auth/")
"""As gateways send them. What has a query goes the long way, to the same answer."""


class AuthCycle(RequestResponseCycle):
    """One request to /auth and its answer, without ASGI in between."""

    async def run_asgi(self, app: object) -> None:
        """Answer. uvicorn calls this when the answers to earlier requests of the connection are sent."""
        service: Any = app.app if isinstance(app, ProxyHeadersMiddleware) else app
        verdict = await judge(service.state.sessions, self.scope["headers"])
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        self.transport.write(self._encode(verdict))
        self.response_complete = True
        if not self.keep_alive:
            self.transport.close()
        self.on_response()

    def _encode(self, verdict: Verdict) -> bytes:
        lines = [STATUS_LINE[verdict.status]]
        for name, value in [*self.default_headers, *verdict.headers]:
            lines += (name, b": ", value, b"\r\n")
        if not self.keep_alive:
            lines.append(b"connection: close\r\n")
        lines.append(b"\r\n")
        if self.scope["method"] != "HEAD":
            lines.append(verdict.body)
        return b"".join(lines)


class HttpProtocol(HttpToolsProtocol):
    """HttpToolsProtocol, with AuthCycle for /auth."""

    def on_headers_complete(self) -> None:
        """Start the request, or queue it up behind those that came before it on this connection."""
        if self.url not in URLS:
            super().on_headers_complete()
            return
        self.scope["method"] = self.parser.get_method().decode("ascii")
        previous, self.cycle = self.cycle, self._auth_cycle()
        if previous is None or previous.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def _auth_cycle(self) -> AuthCycle:
        return AuthCycle(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
