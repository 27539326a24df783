"""/admin/v1/users: find, show, block and merge users. /admin/v1/conflicts: which users to merge."""

from typing import Annotated, Any

import msgspec
from litestar import delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody

from application.administration import Administration
from domain.admin import Scope
from domain.event import Cause
from domain.user_query import UserQuery
from entrypoints.admin.access import log_change, needs, with_reason
from entrypoints.admin.queries import Limit, plus_of, refuse_others
from entrypoints.cursors import decode_cursor, encode_cursor
from entrypoints.http.dependencies import CallerRequest
from entrypoints.responses import AdminUser, ConflictList

UserId = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f-]{36}$")]
"""The position of a cursor in the list of users."""

REASON = r"^[^\x00-\x1f\x7f-\x9f]{1,200}$"

Reason = Annotated[str, msgspec.Meta(pattern=REASON)]
"""The reason of a change, in words for the audit trail: 1 to 200 characters without control characters."""


class UserPage(msgspec.Struct, frozen=True):
    """Users, newest first, and the cursor of the next page; null on the last page."""

    users: list[AdminUser]
    next: str | None


class Blocked(msgspec.Struct, frozen=True):
    """The user of a block, and how many sessions ended."""

    user: AdminUser
    ended: int


class OneUser(msgspec.Struct, frozen=True):
    """The user after a change."""

    user: AdminUser


class MergedUsers(msgspec.Struct, frozen=True):
    """The remaining user, how many live sessions were moved, and how many ended because the user is blocked."""

    user: AdminUser
    sessions: int
    ended: int


class Erased(msgspec.Struct, frozen=True):
    """The result of an erasure: false if the call finished or repeated one."""

    erased: bool


class BlockRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The reason of a block."""

    reason: Reason


class UnblockRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The reason of an unblocking, if the admin gives one."""

    reason: Reason | None = None


class MergeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The user that remains, and the fields whose values of the other user are dropped."""

    into: str
    discard: list[str] = []
    reason: Reason | None = None


@get("/users", **needs(Scope.READ))
async def find_users(
    request: CallerRequest,
    administration: NamedDependency[Administration],
    openid: FromQuery[str | None] = None,
    phone: FromQuery[str | None] = None,
    unionid: FromQuery[str | None] = None,
    id: FromQuery[str | None] = None,  # noqa: A002  # the name of the parameter
    limit: FromQuery[Limit] = 50,
    cursor: FromQuery[str | None] = None,
) -> UserPage:
    """Return the users that match, newest first; without a filter, all of them."""
    refuse_others(request, "openid", "phone", "unionid", "id")
    before = decode_cursor(cursor, UserId) if cursor is not None else None
    query = UserQuery(openid, plus_of(phone), unionid, id, before, limit + 1)
    found = await administration.find_users(query)
    page = found[:limit]
    return UserPage([AdminUser.of(user) for user in page], encode_cursor(page[-1].id) if len(found) > limit else None)


@get("/users/{user_id:str}", **needs(Scope.READ))
async def show_user(user_id: FromPath[str], administration: NamedDependency[Administration]) -> AdminUser:
    """Return the user."""
    return AdminUser.of(await administration.get(user_id))


@put("/users/{user_id:str}/block", **needs(Scope.WRITE))
async def block_user(
    user_id: FromPath[str],
    data: JSONBody[BlockRequest],
    administration: NamedDependency[Administration],
    cause: NamedDependency[Cause],
) -> Blocked:
    """Block the user: end all their sessions, and refuse their logins."""
    cause = with_reason(cause, data.reason)
    ended = await administration.block(user_id, cause)
    log_change("user_blocked", cause, user_id=user_id, sessions=ended)
    return Blocked(AdminUser.of(await administration.get(user_id)), ended)


@delete("/users/{user_id:str}/block", **needs(Scope.WRITE))
async def unblock_user(
    user_id: FromPath[str],
    administration: NamedDependency[Administration],
    cause: NamedDependency[Cause],
    data: JSONBody[UnblockRequest | None] = None,
) -> OneUser:
    """Allow the user to log in again."""
    cause = with_reason(cause, data.reason if data else None)
    user = await administration.unblock(user_id, cause)
    log_change("user_unblocked", cause, user_id=user_id)
    return OneUser(AdminUser.of(user))


@get("/conflicts", **needs(Scope.READ))
async def list_conflicts(administration: NamedDependency[Administration]) -> ConflictList:
    """Return the users that share a unionid, so that they have to be merged."""
    return ConflictList.of(await administration.conflicts())


@post("/users/{user_id:str}/merge", **needs(Scope.WRITE))
async def merge_users(
    user_id: FromPath[str],
    data: JSONBody[MergeRequest],
    administration: NamedDependency[Administration],
    cause: NamedDependency[Cause],
) -> MergedUsers:
    """Merge the user of the path into another one."""
    cause = with_reason(cause, data.reason)
    merged = await administration.merge(user_id, data.into, frozenset(data.discard), cause)
    log_change(
        "users_merged", cause, user_id=merged.user.id, from_id=user_id, sessions=merged.sessions, discarded=data.discard
    )
    return MergedUsers(AdminUser.of(merged.user), merged.sessions, merged.ended)


@get("/users/{user_id:str}/export", **needs(Scope.READ))
async def export_user(
    user_id: FromPath[str], administration: NamedDependency[Administration], cause: NamedDependency[Cause]
) -> dict[str, Any]:
    """Return all that is kept about the user, as one document. It has no session_key and no token."""
    document = await administration.export(user_id)
    log_change("data_exported", cause, user_id=user_id)
    return document


@delete("/users/{user_id:str}", **needs(Scope.ERASE))
async def erase_user(
    user_id: FromPath[str], administration: NamedDependency[Administration], cause: NamedDependency[Cause]
) -> Erased:
    """Erase the user with all data, and end all sessions. It cannot be undone. Repeat it after a failure."""
    erased = await administration.erase(user_id, cause)
    log_change("user_erased", cause, user_id=user_id, finished=None if erased else "again")
    return Erased(erased)


HANDLERS = (
    *(find_users, show_user, export_user, block_user, unblock_user, list_conflicts, merge_users),
    erase_user,
)
