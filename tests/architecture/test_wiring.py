"""The container: every provider gives what its place asks for."""

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_type_hints

import httpx2
import pytest
from cryptography.fernet import MultiFernet
from dependency_injector import providers

from adapters.redis.session_store import RedisSessionStore
from adapters.sql.session_store import SqlSessionStore
from application import ports
from application.login import LoginUseCase
from application.ports import IdentityProvider, Probe, SessionStore, UserRepository
from application.rate_limits import LoginQuota
from application.readiness import Readiness
from application.sessions import Sessions
from application.users import Users
from domain.identity import AppId, LoginCode
from entrypoints.container import Container, open_container
from entrypoints.instrumented import InstrumentedLogin, InstrumentedSessions
from entrypoints.metrics import Metrics
from entrypoints.settings import Settings, SettingsError
from support.clock import Clock
from support.processes import APPID, KEY, SECRET

pytestmark = pytest.mark.anyio

PORTS = {port for port in vars(ports).values() if isinstance(port, type) and port.__module__ == ports.__name__}

PROVIDED: dict[str, Any] = {
    "settings": Settings,
    "transport": httpx2.AsyncBaseTransport,
    "cipher": MultiFernet,
    "kind": str,
    "metrics": Metrics,
    "identities": IdentityProvider,
    "user_repository": UserRepository,
    "session_store": SessionStore,
    "probes": list,
    "login": LoginUseCase,
    "instrumented_login": InstrumentedLogin,
    "login_quota": LoginQuota,
    "sessions": Sessions,
    "instrumented_sessions": InstrumentedSessions,
    "users": Users,
    "readiness": Readiness,
}
"""What the entrypoints rely on. The others are the adapters' own."""


def settings(directory: Path, **more: str) -> Settings:
    """A configuration on a SQLite file that is not there yet."""
    given = {"appid": APPID, "app_secret": SECRET, "encryption_keys": KEY}
    database_url = f"sqlite+aiosqlite:///{directory / 'wxlogin.db'}"
    return Settings.model_validate({**given, "database_url": database_url, **more})


def is_a(value: object, kind: Any) -> bool:
    """Whether a value is of a kind, by name: a port cannot be asked with isinstance()."""
    return getattr(kind, "__origin__", kind) in type(value).__mro__


def attributes(instance: object) -> dict[str, object]:
    """What the constructor kept, by parameter."""
    return {name.removeprefix("_"): value for name, value in vars(instance).items()}


def parameters(kind: type) -> dict[str, Any]:
    """The types of what the constructor asks for by name, or the constructor that it extends."""
    constructors = [
        vars(each)["__init__"] for each in kind.__mro__ if "__init__" in vars(each) and each.__module__ != "builtins"
    ]
    named = {
        parameter.name
        for constructor in constructors
        for parameter in inspect.signature(constructor).parameters.values()
        if parameter.kind not in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    }
    hints = {name: hint for constructor in constructors for name, hint in get_type_hints(constructor).items()}
    return {name: hint for name, hint in hints.items() if name in named}


with_and_without_redis = pytest.mark.parametrize(
    ("more", "store", "probes"),
    [({}, SqlSessionStore, 1), ({"redis_url": "redis://127.0.0.1:1/0"}, RedisSessionStore, 2)],
    ids=["database only", "with Redis"],
)


@with_and_without_redis
async def test_every_provider_resolves(
    more: dict[str, str], store: type[SessionStore], probes: int, tmp_path: Path, clock: Clock
) -> None:
    """Everything in the container can be had and is what it says, without a server that answers."""
    async with open_container(settings(tmp_path, **more), clock=clock) as container:
        skipped = set() if more else {"redis"}
        given = {name: getattr(container, name)() for name in container.providers if name not in skipped}

        assert {name for name, kind in PROVIDED.items() if not is_a(given[name], kind)} == set()
        assert type(given["session_store"]) is store
        assert given["clock"]() == clock()
        assert len(given["probes"]) == probes
        assert all(is_a(probe, Probe) for probe in given["probes"])
    assert not (tmp_path / "wxlogin.db").exists()


@with_and_without_redis
@pytest.mark.parametrize(
    "use_case", ["login", "instrumented_login", "sessions", "instrumented_sessions", "users", "readiness"]
)
async def test_a_use_case_gets_what_its_signature_asks_for(
    use_case: str, more: dict[str, str], store: type[SessionStore], probes: int, tmp_path: Path, clock: Clock
) -> None:
    """mypy cannot see wiring: each argument of a use case is of the type that its parameter has."""
    async with open_container(settings(tmp_path, **more), clock=clock) as container:
        instance = getattr(container, use_case)()
        kept = attributes(instance)
        hints = parameters(type(instance))

        assert hints
        assert set(hints) <= set(kept)
        for name, hint in hints.items():
            if hint == ports.Clock:
                assert kept[name] is clock
            elif hint == Sequence[Probe]:
                assert len(container.probes()) == probes
            else:
                assert is_a(kept[name], hint), name


async def test_use_cases_share_one_store(tmp_path: Path, clock: Clock) -> None:
    """Login writes where authentication reads, and each is built once."""
    async with open_container(settings(tmp_path), clock=clock) as container:
        login, sessions = container.login(), container.sessions()

        assert attributes(login)["sessions"] is attributes(sessions)["store"]
        assert attributes(login)["users"] is attributes(container.users())["users"]
        assert container.login() is login
        assert container.sessions() is sessions


async def test_two_containers_share_nothing(tmp_path: Path, clock: Clock) -> None:
    """A second service in one process has pools of its own."""
    async with (
        open_container(settings(tmp_path), clock=clock) as one,
        open_container(settings(tmp_path), clock=clock) as two,
    ):
        shared = [name for name in one.providers if name not in ("redis", "kind", "clock")]

        assert [name for name in shared if getattr(one, name)() is getattr(two, name)()] == []


async def test_a_container_without_keys_does_not_open(tmp_path: Path) -> None:
    """Without an encryption key no pool is opened, and the setting is named."""
    with pytest.raises(SettingsError, match="WXLOGIN_ENCRYPTION_KEYS"):
        async with open_container(settings(tmp_path, encryption_keys="")):
            raise AssertionError


async def test_another_transport_leads_to_another_wechat(tmp_path: Path) -> None:
    """The demo's and a test's transport is the one that WeChat is reached through."""
    seen = []

    def wechat(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.url.path)
        return httpx2.Response(200, json={"openid": "oAnn", "session_key": "key"})

    async with open_container(settings(tmp_path), transport=httpx2.MockTransport(wechat)) as container:
        identity, _ = await container.identities().exchange(LoginCode("code"), AppId(APPID))

    assert identity.openid == "oAnn"
    assert seen == ["/sns/jscode2session"]


def test_login_takes_exactly_three_ports() -> None:
    """The login use case needs identities, users and sessions from the outside; the rest is plain values."""
    hints = get_type_hints(LoginUseCase.__init__)
    parameters = list(inspect.signature(LoginUseCase).parameters.values())

    assert [hints[parameter.name] for parameter in parameters if hints[parameter.name] in PORTS] == [
        IdentityProvider,
        UserRepository,
        SessionStore,
    ]
    assert [parameter.name for parameter in parameters if parameter.kind is inspect.Parameter.KEYWORD_ONLY] == [
        "apps",
        "policy",
        "clock",
    ]


def test_nothing_is_built_before_it_is_asked_for() -> None:
    """The container is a plan: declaring it opens nothing, and what it depends on has to be given."""
    dependencies = {
        name for name, provider in Container.providers.items() if isinstance(provider, providers.Dependency)
    }

    assert {"settings", "transport", "redis", "cipher", "clock"} <= dependencies
