"""/v1/me: the profile of the user."""

from typing import Any

import msgspec
from litestar import HttpMethod, Router, delete, get, put, route
from litestar.di import NamedDependency
from litestar.params import JSONBody

from application.own_data import OwnData
from application.users import Users
from domain.errors import RequestInvalid, UserBlocked
from domain.event import Cause
from domain.session import Session
from domain.user import Payment, ProfileChange
from entrypoints.http.contract import PHONE_ERRORS, PLATFORM_ERRORS, signed_in
from entrypoints.http.dependencies import CallerRequest, cause_of, device_of
from entrypoints.log import log, log_session
from entrypoints.responses import SecretStruct, UserResponse


@get(**signed_in())
async def show_me(session: NamedDependency[Session], users: NamedDependency[Users]) -> UserResponse:
    """Return the user's profile and accounts."""
    return UserResponse.of(await users.get(session.user_id))


@route(http_method=[HttpMethod.PATCH, HttpMethod.PUT], status_code=200, **signed_in(RequestInvalid))
async def change_me(
    data: JSONBody[ProfileChange], session: NamedDependency[Session], users: NamedDependency[Users]
) -> UserResponse:
    """Change the fields that are sent. PUT does the same: wx.request knows no PATCH."""
    return UserResponse.of(await users.change_profile(session.user_id, data))


class PhoneRequest(SecretStruct, frozen=True):
    """The code of the phone button's getPhoneNumber event, not of wx.login()."""

    code: str | None = None


@put("/phone", **signed_in(*PHONE_ERRORS))
async def bind_phone(
    request: CallerRequest,
    data: JSONBody[PhoneRequest],
    session: NamedDependency[Session],
    users: NamedDependency[Users],
) -> UserResponse:
    """Bind the phone number behind a code of the phone button, which works once, for five minutes."""
    user = await users.bind_phone(session, data.code or "", cause_of(request.scope))
    log_session("phone_bound", session, ip=device_of(request.scope).ip)
    return UserResponse.of(user)


@put("/unionid", **signed_in(RequestInvalid, UserBlocked, *PLATFORM_ERRORS))
async def add_unionid(
    data: JSONBody[Payment], session: NamedDependency[Session], users: NamedDependency[Users]
) -> UserResponse:
    """Add the unionid of a user who paid within the last five minutes: by `transaction_id`, or by merchant and order.

    WeChat returns it then without the user's consent. If it belongs to another user, a conflict is recorded.
    """
    return UserResponse.of(await users.add_unionid(session, data))


@get("/export", **signed_in())
async def export_me(
    request: CallerRequest, session: NamedDependency[Session], own_data: NamedDependency[OwnData]
) -> dict[str, Any]:
    """Return all that is kept about the user, as one document. It has no session_key and no token."""
    document = await own_data.export(session.user_id)
    log_session("data_exported", session, ip=device_of(request.scope).ip)
    return document


class ErasureRequest(msgspec.Struct, frozen=True):
    """The confirmation of an erasure: `confirm` is true."""

    confirm: bool = False


@delete(status_code=204, **signed_in(RequestInvalid))
async def erase_me(
    request: CallerRequest,
    session: NamedDependency[Session],
    own_data: NamedDependency[OwnData],
    data: JSONBody[ErasureRequest | None] = None,  # noqa: ARG001  # for the schema: Litestar turns "true" and 1 into true
) -> None:
    """Erase the user with all data, and end all sessions. It cannot be undone. Repeat it after a failure.

    The next login of the same person creates a new user.
    """
    body = await request.json()
    if not isinstance(body, dict) or body.get("confirm") is not True:
        raise RequestInvalid('An erasure cannot be undone. Send {"confirm":true} to confirm it')
    was_there = await own_data.erase(session.user_id, Cause.user(), session.id)
    log.info("user_erased", user_id=session.user_id, finished=None if was_there else "again")


router = Router(
    "/v1/me",
    tags=["User"],
    route_handlers=[show_me, change_me, bind_phone, add_unionid, export_me, erase_me],
)
