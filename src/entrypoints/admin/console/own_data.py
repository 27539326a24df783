"""A user's own data: a download of all that is stored, and the erasure of the user."""

from typing import Any

import msgspec
from litestar import Request, Response, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromPath

from application.administration import Administration
from domain.admin import Scope
from domain.event import Cause
from entrypoints.admin.access import log_change, needs
from entrypoints.admin.console.access import HOME, AnyRequest
from entrypoints.admin.console.page import Done, redirect, render


@get("/users/{user_id:str}/export", **needs(Scope.READ))
async def export(
    user_id: FromPath[str], administration: NamedDependency[Administration], cause: NamedDependency[Cause]
) -> Response[bytes]:
    """Return all that is stored about the user, as a file."""
    user = await administration.get(user_id)
    body = msgspec.json.format(msgspec.json.encode(await administration.export(user.id)), indent=2)
    log_change("data_exported", cause, user_id=user.id)
    headers = {"content-disposition": f'attachment; filename="user-{user.id}.json"', "cache-control": "no-store"}
    return Response(body, media_type="application/json", headers=headers)


@get("/users/{user_id:str}/erase", **needs(Scope.ERASE))
async def ask_erase(
    request: AnyRequest, user_id: FromPath[str], administration: NamedDependency[Administration]
) -> Response[Any]:
    """Ask whether to erase the user: the admin types the id."""
    return render(request, "erase.html", user=await administration.get(user_id), typed="", wrong=False)


@post("/users/{user_id:str}/erase", **needs(Scope.ERASE))
async def erase(
    request: Request[Any, Any, State],
    user_id: FromPath[str],
    administration: NamedDependency[Administration],
    cause: NamedDependency[Cause],
) -> Response[Any]:
    """Erase the user if the form has the id. Sent again, it finishes an erasure that was interrupted."""
    typed = str((await request.form()).get("typed", "")).strip()
    if typed.lower() != user_id:
        user = await administration.get(user_id)
        return render(request, "erase.html", 400, user=user, typed=typed, wrong=True)
    erased = await administration.erase(user_id, cause)
    log_change("user_erased", cause, user_id=user_id, finished=None if erased else "again")
    return redirect(request, HOME, Done("done_erased"))


HANDLERS = [export, ask_erase, erase]
