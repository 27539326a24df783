"""/v1/me: the user, as they see themselves."""

from litestar import HttpMethod, Router, get, route
from litestar.di import NamedDependency
from litestar.params import JSONBody

from application.users import Users
from domain.session import Session
from domain.user import ProfileChange
from entrypoints.answers import UserAnswer
from entrypoints.http.contract import SIGNED_IN, SIGNED_IN_WITH_INPUT


@get(**SIGNED_IN)
async def show_me(session: NamedDependency[Session], users: NamedDependency[Users]) -> UserAnswer:
    """The user's profile and accounts."""
    return UserAnswer.of(await users.get(session.user_id))


@route(http_method=[HttpMethod.PATCH, HttpMethod.PUT], status_code=200, **SIGNED_IN_WITH_INPUT)
async def change_me(
    data: JSONBody[ProfileChange], session: NamedDependency[Session], users: NamedDependency[Users]
) -> UserAnswer:
    """Change the fields that are sent. PUT does the same: wx.request knows no PATCH."""
    return UserAnswer.of(await users.change_profile(session.user_id, data))


router = Router("/v1/me", tags=["User"], route_handlers=[show_me, change_me])
