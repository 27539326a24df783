"""The console's pages of a user's own data."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest

from domain.identity import AppId, Identity
from entrypoints.admin.app import create_app
from entrypoints.container import open_container
from entrypoints.settings import Settings
from support import plain_http
from support.admin import ADMIN_KEYS, KEYS
from support.clock import Clock
from support.processes import APPID, KEY


@pytest.fixture
def settings(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings with the keys of the tests."""
    monkeypatch.setenv("WXLOGIN_DATABASE_URL", sqlite_url)
    monkeypatch.setenv("WXLOGIN_ENCRYPTION_KEYS", KEY)
    monkeypatch.setenv("WXLOGIN_ADMIN_KEYS", ADMIN_KEYS)
    return Settings()


@asynccontextmanager
async def console(settings: Settings, name: str = "ann") -> AsyncIterator[tuple[httpx2.AsyncClient, str, str]]:
    """Open the console, sign in, and yield a client, a user's id, and the token of the forms."""
    app = create_app(lambda: open_container(settings))
    async with (
        app.lifespan(),
        httpx2.AsyncClient(transport=plain_http.transport_to(app), base_url="http://console") as http,
    ):
        container = app.state.runtime.container
        user, _ = await container.user_repository().find_or_create(Identity(AppId(APPID), "oAnn"), Clock()())
        assert (await http.post("/admin/sign-in", data={"key": KEYS[name][0]})).status_code == 303
        found = re.search(r'name="csrf" value="([\w-]+)"', (await http.get("/admin/")).text)
        assert found
        yield http, user.id, found[1]


@pytest.mark.anyio
async def test_all_data_is_a_download(settings: Settings) -> None:
    """The export is a file with the user's id in its name, and no page."""
    async with console(settings) as (http, user_id, _):
        page = await http.get(f"/admin/users/{user_id}")
        answer = await http.get(f"/admin/users/{user_id}/export")

        assert f"/admin/users/{user_id}/export" in page.text
        assert answer.json()["user"]["id"] == user_id
        assert answer.json()["user"]["accounts"][0]["openid"] == "oAnn"
        assert answer.headers["content-disposition"] == f'attachment; filename="user-{user_id}.json"'
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.anyio
async def test_a_user_is_erased_after_the_id_is_typed(settings: Settings) -> None:
    """An erasure needs the id of the user, typed by the admin."""
    async with console(settings) as (http, user_id, csrf):
        asked = await http.get(f"/admin/users/{user_id}/erase")
        wrong = await http.post(f"/admin/users/{user_id}/erase", data={"csrf": csrf, "typed": "yes"})
        kept = await http.get(f"/admin/users/{user_id}")
        done = await http.post(f"/admin/users/{user_id}/erase", data={"csrf": csrf, "typed": user_id.upper()})

        assert (asked.status_code, wrong.status_code) == (200, 400)
        assert "Nothing was changed" in wrong.text
        assert kept.status_code == 200
        assert done.headers["location"] == "/admin/"
        assert "The user is erased" in (await http.get("/admin/")).text
        assert (await http.get(f"/admin/users/{user_id}")).status_code == 404


@pytest.mark.anyio
async def test_a_key_without_erase_erases_nothing(settings: Settings) -> None:
    """A key that only reads has no button for it, and is refused."""
    async with console(settings, "reader") as (http, user_id, csrf):
        page = await http.get(f"/admin/users/{user_id}")
        refused = await http.post(f"/admin/users/{user_id}/erase", data={"csrf": csrf, "typed": user_id})

        assert "/erase" not in page.text
        assert refused.status_code == 403
        assert (await http.get(f"/admin/users/{user_id}")).status_code == 200
