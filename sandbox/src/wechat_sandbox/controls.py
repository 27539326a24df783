"""The controls of the sandbox, under `/sandbox`."""

import msgspec
from litestar import Router, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import JSONBody

from wechat_sandbox.api import ENDPOINTS
from wechat_sandbox.calls import Calls
from wechat_sandbox.clock import Clock, rfc3339
from wechat_sandbox.errors import ControlRefused
from wechat_sandbox.faults import Fault, Faults
from wechat_sandbox.guards import require_json, require_loopback
from wechat_sandbox.orders import (
    AccountOrder,
    Advance,
    CodeOrder,
    EncryptOrder,
    PagesOrder,
    PaymentOrder,
    PhoneCodeOrder,
    ScanOrder,
)
from wechat_sandbox.page import show_page
from wechat_sandbox.pushes import PushAnswer, PushCheck, PushOrder, check, push
from wechat_sandbox.quotas import Quota
from wechat_sandbox.signing import SigningOrder
from wechat_sandbox.wechat import WeChat


@get("/apps", sync_to_thread=False)
def list_apps(wechat: NamedDependency[WeChat]) -> dict[str, list[str]]:
    """List the given appids; none if every appid is an app."""
    return {"apps": wechat.apps.appids}


@post("/codes", sync_to_thread=False)
def issue_code(data: JSONBody[CodeOrder], wechat: NamedDependency[WeChat]) -> dict[str, str]:
    """Do what wx.login() does: 201 with the code and its user."""
    issued = wechat.issue_code(data.appid, data.openid, data.unionid)
    return {"code": issued.code, "openid": issued.openid}


@post("/phone-codes", sync_to_thread=False)
def issue_phone_code(data: JSONBody[PhoneCodeOrder], wechat: NamedDependency[WeChat]) -> dict[str, str]:
    """Do what the phone button does: 201 with the code."""
    wechat.apps.require(data.appid)
    return {"code": wechat.phones.issue_code(data.appid, data.phone, data.openid)}


@post("/encrypt", sync_to_thread=False)
def encrypt(data: JSONBody[EncryptOrder], wechat: NamedDependency[WeChat]) -> dict[str, str]:
    """Do what wx.getUserInfo() does: 201 with the data that a client sends to its server."""
    wechat.apps.require(data.appid)
    return wechat.client_data.encrypt(data.appid, data.openid, data.data)


@post("/user-keys", sync_to_thread=False)
def show_user_key(data: JSONBody[AccountOrder], wechat: NamedDependency[WeChat]) -> dict[str, object]:
    """Do what UserCryptoManager.getLatestUserKey() does: 201 with the newest key."""
    wechat.apps.require(data.appid)
    return wechat.user_keys.latest(data.appid, data.openid)


@post("/payments", sync_to_thread=False)
def pay(data: JSONBody[PaymentOrder], wechat: NamedDependency[WeChat]) -> dict[str, str]:
    """Let a user pay: 201 with the payment's transaction_id."""
    wechat.apps.require(data.appid)
    return {"transaction_id": wechat.payments.pay(*msgspec.structs.astuple(data))}


@get("/wxacodes", sync_to_thread=False)
def list_wxacodes(wechat: NamedDependency[WeChat]) -> dict[str, list[dict[str, str]]]:
    """List the last codes for scanning, newest last."""
    return {"wxacodes": wechat.wxacodes.shown()}


@post("/scan", status_code=200, sync_to_thread=False)
def scan(data: JSONBody[ScanOrder], wechat: NamedDependency[WeChat]) -> dict[str, object]:
    """Do what a phone does that scans a code: 200 with the page that it opens."""
    code = wechat.wxacodes.scan(data.scene, data.appid)
    return {"path": code.page, "query": code.query}


@post("/pages", status_code=200, sync_to_thread=False)
def set_pages(data: JSONBody[PagesOrder], wechat: NamedDependency[WeChat]) -> PagesOrder:
    """Publish an app with these pages: 200 with the pages."""
    wechat.apps.require(data.appid)
    wechat.wxacodes.set_pages(data.appid, data.pages)
    return data


@post("/events", status_code=200, sync_to_thread=True)
def push_event(data: JSONBody[PushOrder], wechat: NamedDependency[WeChat], clock: NamedDependency[Clock]) -> PushAnswer:
    """Push an event to a server, as WeChat does: 200 with the server's answer."""
    wechat.apps.require(data.appid)
    return push(data, clock.now())


@post("/push-checks", status_code=200, sync_to_thread=True)
def check_push_url(data: JSONBody[PushCheck], clock: NamedDependency[Clock]) -> PushAnswer:
    """Check the address of a server, as the WeChat console does: 200 with the server's answer."""
    return check(data, clock.now())


@post("/signing", sync_to_thread=False)
def register_signing(data: JSONBody[SigningOrder], wechat: NamedDependency[WeChat]) -> dict[str, str]:
    """Do what the console's API security page does: 201 with the keys and their numbers."""
    wechat.apps.require(data.appid)
    return wechat.signing.register(data)


@post("/quota", status_code=200, sync_to_thread=False)
def set_quota(data: JSONBody[Quota], wechat: NamedDependency[WeChat]) -> Quota:
    """Limit the calls of a path: 200 with the quota."""
    if data.path not in ENDPOINTS:
        raise ControlRefused(f"path is {data.path!r}, but should be one of {', '.join(ENDPOINTS)}")
    wechat.quotas.set(data)
    return data


@post("/faults", sync_to_thread=False)
def add_fault(data: JSONBody[Fault], faults: NamedDependency[Faults]) -> Fault:
    """Let the next calls of a path fail: 201 with the fault."""
    faults.add(data)
    return data


@get("/calls", sync_to_thread=False)
def list_calls(calls: NamedDependency[Calls]) -> dict[str, object]:
    """List the calls, newest last."""
    return {"total": calls.total, "calls": calls.shown()}


@post("/clock", status_code=200, sync_to_thread=False)
def advance_clock(data: JSONBody[Advance], clock: NamedDependency[Clock]) -> dict[str, str]:
    """Advance the sandbox's clock."""
    clock.advance(data.advance_seconds)
    return {"now": rfc3339(clock.now())}


def controls(wechat: WeChat, clock: Clock, faults: Faults, calls: Calls, *, any_host: bool) -> Router:
    """Return the routes under `/sandbox`. `any_host`: accept any host name."""
    parts = {"wechat": wechat, "clock": clock, "faults": faults, "calls": calls}
    logins = [list_apps, issue_code, issue_phone_code, encrypt, show_user_key, pay, register_signing, set_quota]
    scans = [list_wxacodes, scan, set_pages]
    pushes = [push_event, check_push_url]
    return Router(
        "/sandbox",
        route_handlers=[show_page, *logins, *scans, *pushes, add_fault, list_calls, advance_clock],
        dependencies={name: _always(part) for name, part in parts.items()},
        guards=[require_json, *([] if any_host else [require_loopback])],
    )


def _always(part: object) -> Provide:
    def provide() -> object:
        return part

    return Provide(provide, sync_to_thread=False)
