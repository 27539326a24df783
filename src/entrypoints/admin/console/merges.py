"""Conflicts, and merges: two users side by side, who remains, and which values are lost."""

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromQuery

from application.administration import Administration
from domain.admin import Scope
from domain.event import Cause
from domain.user import MERGED_FIELDS, User, lost_fields, merged_fields
from entrypoints.admin.access import log_change, needs
from entrypoints.admin.console.access import AnyRequest
from entrypoints.admin.console.changes import is_reason, reason_of
from entrypoints.admin.console.page import Done, redirect, render
from entrypoints.admin.console.users import user_path


@get("/conflicts", **needs(Scope.READ))
async def list_conflicts(request: AnyRequest, administration: NamedDependency[Administration]) -> Response[Any]:
    """Show the users that share a unionid."""
    conflicts = await administration.conflicts()
    known = {user_id for each in conflicts for user_id in (each.user_id, each.other_user_id) if user_id}
    users = {user_id: await administration.get(user_id) for user_id in sorted(known)}
    return render(request, "conflicts.html", conflicts=conflicts, users=users)


@get("/merge", **needs(Scope.READ))
async def compare(
    request: AnyRequest,
    first: FromQuery[str],
    administration: NamedDependency[Administration],
    second: FromQuery[str | None] = None,
) -> Response[Any]:
    """Show two users side by side, or ask who the second is."""
    user = await administration.get(first)
    if not second:
        return render(request, "merge_with.html", user=user)
    other = await administration.get(second.strip())
    live = [len(await administration.sessions_of(each.id)) for each in (user, other)]
    fields = [(name, merged_fields(user)[name], merged_fields(other)[name]) for name in MERGED_FIELDS]
    return render(request, "compare.html", first=user, second=other, fields=fields, live=live)


@get("/merge/confirm", **needs(Scope.WRITE))
async def ask_merge(
    request: AnyRequest,
    source: FromQuery[str],
    target: FromQuery[str],
    administration: NamedDependency[Administration],
) -> Response[Any]:
    """Ask whether to merge the source into the target, and whether each lost value may be lost."""
    pair = await administration.get(source), await administration.get(target)
    return _question(request, *pair)


@post("/merge/confirm", **needs(Scope.WRITE))
async def merge(
    request: AnyRequest, administration: NamedDependency[Administration], cause: NamedDependency[Cause]
) -> Response[Any]:
    """Merge the users if each lost value is confirmed, as it was shown."""
    form = await request.form()
    pair = await administration.get(str(form.get("source", ""))), await administration.get(str(form.get("target", "")))
    source, target = pair
    reason = await reason_of(request)
    confirmed = [str(each) for each in form.getall("discard", [])]
    discard = frozenset(lost_fields(source, target))
    if not {_confirmation(source, target, name) for name in discard} <= set(confirmed):
        return _question(request, source, target, confirmed, reason, "lose_unconfirmed", 400)
    if reason and not is_reason(reason):
        return _question(request, source, target, confirmed, reason, "reason_wrong", 400)
    cause = replace(cause, reason=reason or None)
    merged = await administration.merge(source.id, target.id, discard, cause)
    log_change(
        "users_merged",
        cause,
        user_id=merged.user.id,
        from_id=source.id,
        sessions=merged.sessions,
        discarded=sorted(discard),
    )
    return redirect(request, user_path(merged.user.id), Done("done_merged", merged.sessions))


def _confirmation(source: User, target: User, name: str) -> str:
    """Return what the box of a lost field sends: another value since the question does not count as confirmed."""
    return f"{name}={merged_fields(source)[name]}={merged_fields(target)[name]}"


def _question(
    request: AnyRequest,
    source: User,
    target: User,
    confirmed: Collection[str] = (),
    reason: str = "",
    wrong: str | None = None,
    status: int = 200,
) -> Response[Any]:
    dropped, kept = merged_fields(source), merged_fields(target)
    lost = [
        (name, dropped[name], kept[name], _confirmation(source, target, name)) for name in lost_fields(source, target)
    ]
    return render(
        request,
        "merge.html",
        status,
        source=source,
        target=target,
        lost=lost,
        confirmed=confirmed,
        reason=reason,
        wrong=wrong,
    )


HANDLERS = [list_conflicts, compare, ask_merge, merge]
