"""The sandbox's own calls, under `/sandbox`."""

from typing import Annotated

import msgspec
from litestar import Router, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import JSONBody

from entrypoints.sandbox.calls import Calls
from entrypoints.sandbox.clock import Clock, rfc3339
from entrypoints.sandbox.faults import Fault, Faults
from entrypoints.sandbox.wechat import WeChat

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]


class CodeOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose code it is to be."""

    appid: Id
    openid: Id | None = None
    unionid: Id | None = None


class Advance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far the clock is to move."""

    advance_seconds: float


@post("/codes", sync_to_thread=False)
def issue_code(data: JSONBody[CodeOrder], wechat: NamedDependency[WeChat]) -> dict[str, str]:
    """Do what wx.login() does: 201 with the code and whose it is."""
    issued = wechat.issue_code(data.appid, data.openid, data.unionid)
    return {"code": issued.code, "openid": issued.openid}


@post("/faults", sync_to_thread=False)
def add_fault(data: JSONBody[Fault], faults: NamedDependency[Faults]) -> Fault:
    """Let the next calls of a path fail: 201 with the fault as it was understood."""
    faults.add(data)
    return data


@get("/calls", sync_to_thread=False)
def list_calls(calls: NamedDependency[Calls]) -> dict[str, list[dict[str, object]]]:
    """Show what was called, newest last."""
    return {"calls": calls.shown()}


@post("/clock", status_code=200, sync_to_thread=False)
def advance_clock(data: JSONBody[Advance], clock: NamedDependency[Clock]) -> dict[str, str]:
    """Move the sandbox's time on."""
    clock.advance(data.advance_seconds)
    return {"now": rfc3339(clock.now())}


def controls(wechat: WeChat, clock: Clock, faults: Faults, calls: Calls) -> Router:
    """The routes under `/sandbox`, for one sandbox."""
    parts = {"wechat": wechat, "clock": clock, "faults": faults, "calls": calls}
    return Router(
        "/sandbox",
        route_handlers=[issue_code, add_fault, list_calls, advance_clock],
        dependencies={name: _always(part) for name, part in parts.items()},
    )


def _always(part: object) -> Provide:
    def provide() -> object:
        return part

    return Provide(provide, sync_to_thread=False)
