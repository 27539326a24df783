"""The recipes in CONTRIBUTING.md are complete: a twin of the memory adapters that follows them serves logins."""

import json
import re
from collections.abc import Sequence

import httpx2
import pytest
from dependency_injector import providers

from adapters.sql.key_vault import SqlKeyVault
from application.ports.events import Publish
from application.ports.key_vault import KeyVault
from domain.event import Event, EventQuery, EventType
from domain.identity import AppId, Identity
from domain.session import Session, SessionToken
from entrypoints.container import Container, open_container
from entrypoints.http.app import create_app
from entrypoints.settings import Settings
from support.pages import ROOT, table
from support.places import SESSION_PLACES
from support.plain_http import transport_to
from support.platforms import PLATFORMS
from support.processes import APPID, KEY, SECRET
from support.twin import TwinIdentityProvider, TwinSessionEvents, TwinSessionStore

pytestmark = pytest.mark.anyio

PROVIDER, STORE = "Add an identity provider", "Add a session store"

RECIPES = {PROVIDER: 6, STORE: 5}
"""The sections, each with its number of files."""

CONTAINER = "`src/entrypoints/container.py`"

NOT_REGISTRATIONS = {"tests/support/twin.py", "tests/architecture/test_recipes.py", "tests/architecture/test_wiring.py"}
"""The twin itself, and tests of it."""

ANN = Identity(AppId("tt0123456789abcdef"), "oAnn")


def rows_of(recipe: str) -> dict[str, str]:
    """Return the rows of a recipe's table: what to do, by file."""
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (section,) = [part for part in page.split("\n## ") if part.startswith(f"{recipe}\n")]
    return dict(table(section, "file"))


def files_of(recipe: str) -> list[str]:
    """Return the files of a recipe's table."""
    return [file.strip("`") for file in rows_of(recipe)]


def named_in_container(recipe: str) -> list[str]:
    """Return what the recipe names in the container."""
    return [name for name in re.findall(r"`(\w+)`", rows_of(recipe)[CONTAINER]) if name in Container.providers]


@pytest.mark.parametrize(("recipe", "number"), RECIPES.items(), ids=RECIPES)
def test_a_recipe_is_short_and_its_files_exist(recipe: str, number: int) -> None:
    """A recipe has few files, and its existing files exist."""
    files = files_of(recipe)

    assert len(files) == number
    assert [file for file in files if "<" not in file and not (ROOT / file).is_file()] == []


def test_the_recipes_name_every_list() -> None:
    """The names of the twin occur only in the files of the recipes."""
    registered = {
        str(path.relative_to(ROOT))
        for folder in ("src", "tests")
        for path in (ROOT / folder).rglob("*.py")
        if "node_modules" not in path.parts and re.search(r"\btwin|Twin", path.read_text(encoding="utf-8"))
    }

    assert registered - NOT_REGISTRATIONS <= {file for recipe in RECIPES for file in files_of(recipe)}
    assert "twin" in SESSION_PLACES
    assert "twin" in PLATFORMS


class Twin:
    """A platform and a technology of sessions that are added to the container as the recipes say, and not elsewhere."""

    def __init__(self) -> None:
        self.identities = TwinIdentityProvider()
        self.events = TwinSessionEvents()

    def add_to(self, container: Container) -> None:
        """Add a case to what the recipes name in the container."""
        assert named_in_container(PROVIDER) == ["identities_by_app"]
        container.identities_by_app.add_kwargs(twin=providers.Object(self.identities))
        container.session_technology.override(providers.Object("twin"))
        cases = {
            "session_store": providers.Singleton(self._open_store, container.key_vault, container.publish),
            "session_events": providers.Object(self.events),
            "key_vault": container.sql_key_vault,
        }
        assert {*named_in_container(STORE)} - {"sql_key_vault"} == cases.keys()
        for name, case in cases.items():
            selector = getattr(container, name)
            selector.set_providers(**selector.providers, twin=case)

    def _open_store(self, vault: KeyVault, publish: Publish) -> TwinSessionStore:
        def publish_to_both(events: Sequence[Event]) -> None:
            self.events.publish(events)
            publish(events)

        return TwinSessionStore(vault, publish_to_both)


APPS = json.dumps([{"platform": "twin", "appid": ANN.appid.value, "secret": "another platform's"}])
"""An app of the twin, in the format of WXLOGIN_APPS."""


def settings(sqlite_url: str, **more: str) -> Settings:
    """Return settings with an app of WeChat."""
    given = {"appid": APPID, "app_secret": SECRET, "encryption_keys": KEY, "database_url": sqlite_url}
    return Settings.model_validate({**given, **more})


async def test_a_user_of_the_twin_logs_in_and_out(sqlite_url: str) -> None:
    """With both recipes followed, the application logs in a user of the platform, with sessions in the technology."""
    twin = Twin()
    opened = settings(sqlite_url, apps=APPS, audit_sessions="true")
    app = create_app(lambda: open_container(opened, prepare=twin.add_to))
    code = twin.identities.issue(ANN).value
    async with app.lifespan(), httpx2.AsyncClient(transport=transport_to(app), base_url="http://wxlogin") as http:
        container = app.state.runtime.container
        logged_in = await http.post("/login/", json={"code": code, "appid": ANN.appid.value})
        token = logged_in.json()["data"]["token"]
        headers = {"Authorization": f"Bearer {token}"}
        checked = await http.get("/auth", headers=headers)
        session = await container.session_store().find(SessionToken(token).session_id)
        ring = await container.key_vault().get(session)
        ready = await http.get("/readyz")
        logged_out = await http.delete("/v1/sessions/current", headers=headers)
        refused = await http.get("/auth", headers=headers)
        await container.event_relay()()
        events = await container.events().find(EventQuery(user_id=session.user_id))

    assert (checked.status_code, checked.headers["x-wx-openid"]) == (204, ANN.openid)
    assert isinstance(session, Session)
    assert type(container.session_store()) is TwinSessionStore
    assert type(container.key_vault()) is SqlKeyVault
    assert ring.current
    assert ready.json()["checks"] == {"database": "ok", "session store": "ok"}
    assert (logged_out.status_code, refused.status_code) == (204, 401)
    assert {event.type for event in events} == {
        EventType.USER_CREATED,
        EventType.SESSION_STARTED,
        EventType.SESSION_ENDED,
    }


@pytest.mark.parametrize("more", [{}, {"redis_url": "redis://127.0.0.1:1/0"}], ids=["database only", "with Redis"])
async def test_the_rest_stays_where_it_is(more: dict[str, str], sqlite_url: str) -> None:
    """With both recipes followed, every provider resolves, and all but sessions is where it was."""
    twin = Twin()
    async with (
        open_container(settings(sqlite_url, **more)) as before,
        open_container(settings(sqlite_url, apps=APPS, **more), prepare=twin.add_to) as after,
    ):
        names = [name for name in before.providers if more or name != "redis"]
        kinds = [{name: type(getattr(container, name)()) for name in names} for container in (before, after)]

    changed = {name for name in names if kinds[0][name] is not kinds[1][name]}
    assert changed - {"session_technology"} <= {"session_store", "session_events", "key_vault"}
    assert {"session_store", "session_events"} <= changed
