"""/v1/me: the profile of the user."""

from litestar import HttpMethod, Router, get, put, route
from litestar.di import NamedDependency
from litestar.params import JSONBody

from application.users import Users
from domain.errors import RequestInvalid, UserBlocked
from domain.session import Session
from domain.user import Payment, ProfileChange
from entrypoints.http.contract import PHONE_ERRORS, PLATFORM_ERRORS, signed_in
from entrypoints.http.dependencies import CallerRequest, cause_of, device_of
from entrypoints.log import log_session
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


router = Router("/v1/me", tags=["User"], route_handlers=[show_me, change_me, bind_phone, add_unionid])
