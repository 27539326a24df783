"""The worker's jobs, without a queue."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from dependency_injector import providers

from adapters.memory.identity_provider import MemoryIdentityProvider
from adapters.memory.session_store import MemorySessionStore
from adapters.memory.user_repository import MemoryUserRepository
from domain.identity import AppId, Identity
from entrypoints.container import open_container
from entrypoints.jobs import Jobs
from entrypoints.responses import LoginResponse
from entrypoints.settings import Settings
from support.clock import Clock
from support.processes import APPID, KEY, SECRET

pytestmark = pytest.mark.anyio


@pytest.fixture
def wechat() -> MemoryIdentityProvider:
    """An identity provider in memory."""
    return MemoryIdentityProvider()


@pytest.fixture
async def jobs(wechat: MemoryIdentityProvider, clock: Clock) -> AsyncIterator[Jobs]:
    """The jobs, on adapters in memory."""
    settings = Settings.model_validate({"appid": APPID, "app_secret": SECRET, "encryption_keys": KEY})
    async with open_container(settings, clock=clock) as container:
        container.identities.override(providers.Object(wechat))
        container.user_repository.override(providers.Object(MemoryUserRepository()))
        container.session_store.override(providers.Object(MemorySessionStore()))
        yield Jobs(container)


def issue(wechat: MemoryIdentityProvider, openid: str = "o1") -> str:
    """Return a new code for the user."""
    return wechat.issue(Identity(AppId(APPID), openid)).value


async def test_a_login_answers_what_http_would(jobs: Jobs, wechat: MemoryIdentityProvider) -> None:
    """The result of a login job is the body of POST /v1/sessions, in types of JSON."""
    body = await jobs.login(issue(wechat), APPID)

    assert msgspec.to_builtins(msgspec.convert(body, LoginResponse)) == body
    assert body == msgspec.json.decode(msgspec.json.encode(body))
    assert body["user"]["is_new"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"code": None}, "code_missing"),
        ({"code": ""}, "code_missing"),
        ({"code": 5}, "request_invalid"),
        ({"code": ["c"]}, "request_invalid"),
        ({"code": "a b"}, "request_invalid"),
        ({"code": "unknown"}, "code_invalid"),
        ({"code": "unknown", "appid": 5}, "request_invalid"),
        ({"code": "unknown", "appid": "wxother"}, "app_unknown"),
    ],
    ids=str,
)
async def test_an_invalid_login_job_returns_the_problem(jobs: Jobs, arguments: dict[str, Any], code: str) -> None:
    """A login job with invalid arguments returns a problem, and does not raise an error."""
    body = await jobs.login(arguments.get("code"), arguments.get("appid"))

    assert body["code"] == code
    assert body["type"] == f"urn:wxlogin:error:{code}"
    assert {"title", "status", "detail", "retry"} <= set(body)


async def test_a_code_works_once(jobs: Jobs, wechat: MemoryIdentityProvider) -> None:
    """A login job that runs twice returns code_used the second time."""
    code = issue(wechat)
    await jobs.login(code, None)

    assert (await jobs.login(code, None))["code"] == "code_used"


async def test_a_user_is_logged_out_everywhere(jobs: Jobs, wechat: MemoryIdentityProvider) -> None:
    """The job ends all sessions of one user and returns their number. It may run twice."""
    user_id = (await jobs.login(issue(wechat), None))["user"]["id"]
    await jobs.login(issue(wechat), None)
    other_id = (await jobs.login(issue(wechat, "o2"), None))["user"]["id"]

    assert await jobs.end_all_sessions(user_id, "session_ended") == {"ended": 2}
    assert await jobs.end_all_sessions(user_id, "session_ended") == {"ended": 0}
    assert await jobs.end_all_sessions(other_id, "session_replaced") == {"ended": 1}


async def test_the_log_out_of_an_unknown_user_returns_the_problem(jobs: Jobs) -> None:
    """The job for an unknown user returns not_found."""
    assert (await jobs.end_all_sessions("nobody", "session_ended"))["code"] == "not_found"


@pytest.mark.parametrize(
    "arguments", [(None, "session_ended"), (5, "session_ended"), ("u1", "because"), ("u1", None), ("u1", 5)], ids=str
)
async def test_an_invalid_log_out_job_returns_the_problem(jobs: Jobs, arguments: tuple[Any, ...]) -> None:
    """A user id that is not text, or an unknown reason, returns request_invalid."""
    assert (await jobs.end_all_sessions(*arguments))["code"] == "request_invalid"
