"""The way in: WeChat's paths are answered here, the sandbox's own go on to Litestar."""

import asyncio
from dataclasses import dataclass

import msgspec
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

from entrypoints.sandbox.api import ENDPOINTS
from entrypoints.sandbox.calls import Call, Calls, parse_query
from entrypoints.sandbox.clock import Clock
from entrypoints.sandbox.errcodes import errmsg
from entrypoints.sandbox.errors import WeChatError
from entrypoints.sandbox.faults import Fault, Faults
from entrypoints.sandbox.problems import PROBLEM_JSON, problem
from entrypoints.sandbox.wechat import WeChat

# WeChat has served its JSON as text/plain: a client that trusts the type has to fail here, not in production.
TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer over HTTP, and the errcode in it."""

    body: bytes
    status: int = 200
    media_type: str = TEXT
    errcode: int | None = None


@dataclass(frozen=True, slots=True)
class Door:
    """Answers for WeChat on every path outside `/sandbox`, notes the call, and lets waiting faults happen.

    It stands before Litestar's router, whose exception handling would answer where a fault is to hang up.
    """

    controls: ASGIApp
    wechat: WeChat
    clock: Clock
    faults: Faults
    calls: Calls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request as ASGI has it."""
        if scope["type"] == ScopeType.WEBSOCKET or f"{scope['path']}/".startswith("/sandbox/"):
            await self.controls(scope, receive, send)
        else:
            await self._serve(scope, send)

    async def _serve(self, scope: HTTPScope, send: Send) -> None:
        query = scope["query_string"].decode("latin-1")
        call = Call(self.clock.now(), scope["method"], scope["path"], query)
        self.calls.add(call)
        fault = self.faults.take(call.path)
        if fault and fault.delay_seconds:
            await asyncio.sleep(fault.delay_seconds)
        if fault and fault.drop:
            await hang_up(send)
        else:
            answer = self._failure(fault) if fault and fault.answers else self._answer(call)
            call.status, call.errcode = answer.status, answer.errcode
            await reply(send, answer)

    def _answer(self, call: Call) -> Answer:
        endpoint = ENDPOINTS.get(call.path)
        if endpoint is None:
            known = ", ".join(ENDPOINTS)
            lacking = problem(404, f"the sandbox has no {call.path}; of WeChat it has {known}")
            return Answer(msgspec.json.encode(lacking), 404, PROBLEM_JSON)
        try:
            success = endpoint(self.wechat, call.method, parse_query(call.query))
        except WeChatError as error:
            return self._refusal(error.errcode, call.path)
        return Answer(msgspec.json.encode(success))

    def _failure(self, fault: Fault) -> Answer:
        status = fault.status or 200
        if fault.errcode is not None:
            return self._refusal(fault.errcode, fault.path, status)
        return Answer(fault.raw_body, status)

    def _refusal(self, errcode: int, path: str, status: int = 200) -> Answer:
        error = {"errcode": errcode, "errmsg": errmsg(errcode, path, self.clock.now())}
        return Answer(msgspec.json.encode(error), status, errcode=errcode)


async def reply(send: Send, answer: Answer) -> None:
    """Send the whole answer."""
    headers = [
        (b"content-type", answer.media_type.encode()),
        (b"content-length", b"%d" % len(answer.body)),
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body, "more_body": False})


async def hang_up(send: Send) -> None:
    """Close the connection without a byte of answer; without a server, raise ConnectionResetError.

    ASGI has no word for this. uvicorn closes a connection whose answer has begun and cannot go on, and an
    answer begins with a header that it then refuses to write.
    """
    try:
        await send({"type": "http.response.start", "status": 444, "headers": [(b"\n", b"")]})
    except Exception:  # noqa: BLE001 - each of uvicorn's parsers refuses the header with its own exception
        return
    raise ConnectionResetError("the sandbox dropped this call, as a fault told it to")
