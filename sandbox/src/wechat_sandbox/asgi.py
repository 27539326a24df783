"""The ASGI application: handles WeChat's paths, and passes `/sandbox` to Litestar."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus

import msgspec
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

from wechat_sandbox.api import ENDPOINTS, Endpoint
from wechat_sandbox.calls import Call, Calls
from wechat_sandbox.clock import Clock
from wechat_sandbox.errcodes import errmsg
from wechat_sandbox.errors import BodyTooLarge, WeChatError
from wechat_sandbox.faults import Fault, Faults
from wechat_sandbox.messages import close_connection, read, read_body, reply
from wechat_sandbox.problems import PROBLEM_JSON, problem
from wechat_sandbox.requests import MAX_BODY_BYTES, PNG, Answer, Request, media_type_of
from wechat_sandbox.wechat import WeChat

HINT = "X-Sandbox-Hint"
"""A header with what WeChat would not say."""


@dataclass(frozen=True, slots=True)
class Sandbox:
    """Handles every path outside `/sandbox`, logs the call, and applies faults.

    It is in front of Litestar, whose exception handling would respond where a fault closes the connection.
    """

    controls: ASGIApp
    wechat: WeChat
    clock: Clock
    faults: Faults
    calls: Calls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve an ASGI request."""
        if scope["type"] == ScopeType.WEBSOCKET or f"{scope['path']}/".startswith("/sandbox/"):
            await self.controls(scope, receive, send)
        else:
            await self._serve(scope, receive, send)

    async def _serve(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        try:
            request: Request | None = read(scope, await read_body(receive))
        except BodyTooLarge:
            request = None
        call = Call.of(request or read(scope, b""), self.clock.now())
        self.calls.add(call)
        if request is None:
            await self._reply(call, too_large(call.path), send)
        elif request.is_chunked:
            await self._reply(call, Answer(b"", HTTPStatus.PRECONDITION_FAILED), send)
        else:
            await self._meet(request, call, send)

    async def _meet(self, request: Request, call: Call, send: Send) -> None:
        """Handle a call, or apply its fault."""
        fault = self.faults.take(request.path)
        if fault and fault.executed:
            self._answer(request)
        if fault and fault.delay_seconds:
            await asyncio.sleep(fault.delay_seconds)
        if fault and fault.drop:
            await close_connection(send)
        else:
            await self._reply(call, self._failure(fault) if fault and fault.answers else self._answer(request), send)

    async def _reply(self, call: Call, answer: Answer, send: Send) -> None:
        call.status, call.errcode = answer.status, answer.errcode
        await reply(send, answer)

    def _answer(self, request: Request) -> Answer:
        endpoint = ENDPOINTS.get(request.path)
        if endpoint is None:
            return replace(
                self._refusal(40066, request.path), headers={HINT: f"the sandbox has {', '.join(ENDPOINTS)}"}
            )
        try:
            admitted = endpoint.admit(self.wechat, request)
        except WeChatError as error:
            return self._refusal(error.errcode, request.path)
        return self._carry_out(endpoint, admitted)

    def _carry_out(self, endpoint: Endpoint, request: Request) -> Answer:
        """Return the response to an admitted call, signed if the call was. A picture is never signed."""
        errcode = None
        try:
            fields = endpoint.answer(self.wechat, request)
            if isinstance(fields, bytes):
                return Answer(fields, media_type=PNG)
        except WeChatError as error:
            errcode = error.errcode
            fields = {**self._error(errcode, request.path), **endpoint.when_refused}
        if not request.signed:
            return Answer(msgspec.json.encode(fields), 200, media_type_of(request.path), errcode)
        body, headers = self.wechat.signing.answer(request, fields)
        return Answer(body, errcode=errcode, headers=headers)

    def _failure(self, fault: Fault) -> Answer:
        status = fault.status or 200
        if fault.errcode is not None:
            return self._refusal(fault.errcode, fault.path, status)
        return Answer(fault.raw_body, status, media_type_of(fault.path))

    def _refusal(self, errcode: int, path: str, status: int = 200) -> Answer:
        return Answer(msgspec.json.encode(self._error(errcode, path)), status, media_type_of(path), errcode)

    def _error(self, errcode: int, path: str) -> Mapping[str, object]:
        return {"errcode": errcode, "errmsg": errmsg(errcode, path, self.clock.now())}


def too_large(path: str) -> Answer:
    """Return the response of the proxy in front of WeChat to a body that is too large."""
    detail = f"a body of {path} may have {MAX_BODY_BYTES} bytes"
    return Answer(msgspec.json.encode(problem(413, detail)), 413, PROBLEM_JSON)
