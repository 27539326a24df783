"""The container: every provider resolves, and nothing opens before it is needed."""

import gc
import inspect
import json
from collections.abc import Sequence
from pathlib import Path
from types import FunctionType, ModuleType

import httpx2
import pytest
from dependency_injector import providers

from adapters.redis.session_store import RedisSessionStore
from adapters.sql.session_store import SqlSessionStore
from application.login import LoginUseCase
from application.ports.identity_provider import IdentityProvider
from application.ports.session_store import SessionStore
from application.ports.user_repository import UserRepository
from domain.errors import AppUnknown
from domain.identity import AppId, LoginCode
from entrypoints.container import Container, open_container
from entrypoints.setting_models import Signing
from entrypoints.settings import Settings, SettingsError
from support.clock import Clock
from support.processes import APPID, KEY, SECRET
from support.twin import TwinIdentityProvider

pytestmark = pytest.mark.anyio


def settings(directory: Path, **more: str) -> Settings:
    """Return settings with a SQLite file that does not exist yet."""
    given = {"appid": APPID, "app_secret": SECRET, "encryption_keys": KEY}
    database_url = f"sqlite+aiosqlite:///{directory / 'wxlogin.db'}"
    return Settings.model_validate({**given, "database_url": database_url, **more})


with_and_without_redis = pytest.mark.parametrize(
    ("more", "store", "probes"),
    [({}, SqlSessionStore, 1), ({"redis_url": "redis://127.0.0.1:1/0"}, RedisSessionStore, 2)],
    ids=["database only", "with Redis"],
)


@with_and_without_redis
async def test_every_provider_resolves(
    more: dict[str, str], store: type[SessionStore], probes: int, tmp_path: Path, clock: Clock
) -> None:
    """Every provider of the container returns an object of the correct type, without a running server."""
    async with open_container(settings(tmp_path, **more), clock=clock) as container:
        skipped = set() if more else {"redis"}
        given = {name: getattr(container, name)() for name in container.providers if name not in skipped}

        assert type(given["session_store"]) is store
        assert given["clock"]() == clock()
        assert len(given["probes"]) == probes
        assert given["login"] is container.login()
    assert not (tmp_path / "wxlogin.db").exists()


async def test_two_containers_share_nothing(tmp_path: Path, clock: Clock) -> None:
    """Two containers in one process have separate objects."""
    async with (
        open_container(settings(tmp_path), clock=clock) as one,
        open_container(settings(tmp_path), clock=clock) as two,
    ):
        skipped = ("redis", "shared_store", "session_technology", "clock")
        shared = [name for name in one.providers if name not in skipped]

        assert [name for name in shared if getattr(one, name)() is getattr(two, name)()] == []


async def test_a_container_without_encryption_keys_does_not_open(tmp_path: Path) -> None:
    """Without an encryption key no container opens, and the error names the setting."""
    with pytest.raises(SettingsError, match="WXLOGIN_ENCRYPTION_KEYS"):
        async with open_container(settings(tmp_path, encryption_keys="")):
            raise AssertionError


async def test_a_given_transport_is_used_for_wechat(tmp_path: Path) -> None:
    """A given transport is the one for all calls to WeChat."""
    seen = []

    def wechat(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.url.path)
        return httpx2.Response(200, json={"openid": "oAnn", "session_key": "key"})

    async with open_container(settings(tmp_path), transport=httpx2.MockTransport(wechat)) as container:
        identity, _ = await container.identities().exchange(LoginCode("code"), AppId(APPID))

    assert identity.openid == "oAnn"
    assert seen == ["/sns/jscode2session"]


async def test_an_app_of_an_unknown_platform_stops_the_start(tmp_path: Path) -> None:
    """With an app whose platform has no adapters no container opens, and the error names the app and the platforms."""
    apps = [{"platform": "douyin", "appid": "tt0123456789abcdef", "secret": "a secret"}]
    named = "WXLOGIN_APPS: the platform of tt0123456789abcdef, douyin, has no adapters here; there are wechat$"
    with pytest.raises(SettingsError, match=named):
        async with open_container(settings(tmp_path, apps=json.dumps(apps))):
            raise AssertionError


def add_twin(container: Container) -> None:
    """Add the identity provider of another platform."""
    container.identities_by_app.add_kwargs(twin=providers.Singleton(TwinIdentityProvider))


async def test_a_secret_is_only_in_the_adapters_of_its_platform(tmp_path: Path) -> None:
    """No object of WeChat's adapters has a secret of another platform's app, and they do not accept that app."""
    apps = [
        {
            "platform": "twin",
            "appid": "tt0123456789abcdef",
            "secret": "twinssecret",
            "push": {"token": "twinstoken"},
            "signing": {name: f"twins{name}" for name in Signing.model_fields},
        }
    ]
    given = settings(tmp_path, apps=json.dumps(apps), push_token="wechatstoken")
    async with open_container(given, prepare=add_twin) as container:
        adapters = [container.wechat_identities(), container.issuer(), container.platform(), container.pushes()]
        held = held_by(adapters)

        assert container.apps() == {AppId(APPID), AppId("tt0123456789abcdef")}
        assert {SECRET, "wechatstoken"} <= held
        assert [text for text in held if text.startswith("twins")] == []
        assert container.signers() == {}
        with pytest.raises(AppUnknown):
            await container.wechat_identities().exchange(LoginCode("code"), AppId("tt0123456789abcdef"))


def held_by(parts: Sequence[object]) -> set[str]:
    """Return all strings that objects refer to, at any depth."""
    met: dict[int, object] = {}
    todo = list(parts)
    while todo:
        part = todo.pop()
        if id(part) not in met and not isinstance(part, type | ModuleType | FunctionType):
            met[id(part)] = part
            todo += gc.get_referents(part)
    return {part for part in met.values() if isinstance(part, str)}


def test_login_takes_exactly_three_ports() -> None:
    """The login use case takes an identity provider, a user repository and a session store.

    All other parameters are values.
    """
    signature = inspect.signature(LoginUseCase)
    positional = [each for each in signature.parameters.values() if each.kind is not inspect.Parameter.KEYWORD_ONLY]

    assert [each.annotation for each in positional] == [IdentityProvider, UserRepository, SessionStore]
    assert list(signature.parameters)[len(positional) :] == ["apps", "policy", "clock"]


def test_the_container_builds_objects_on_demand() -> None:
    """The declaration of the container opens nothing, and its dependencies must be given."""
    dependencies = {
        name for name, provider in Container.providers.items() if isinstance(provider, providers.Dependency)
    }

    assert {"settings", "transport", "redis", "cipher", "clock"} <= dependencies
