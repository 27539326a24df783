"""The access tokens of WeChat's calls, and their secrecy."""

import asyncio
import traceback
from typing import Any

import httpx2
import pytest

from domain.errors import (
    AppMisconfigured,
    IdentityProviderBadResponse,
    IdentityProviderUnavailable,
    RateLimited,
    StoreUnavailable,
    WxLoginError,
)
from unit.adapters.wechat.platform_world import (
    A_RID,
    ANN,
    CODE,
    KEY,
    SIGNATURE,
    Call,
    World,
    every_call,
    query,
    refusals,
    reply,
)

pytestmark = pytest.mark.anyio


@refusals
@every_call
async def test_a_refused_token_is_replaced_once(world: World, call: Call, good: dict[str, Any], errcode: int) -> None:
    """When WeChat refuses the access token, the same call is repeated once with another token."""
    world.answer({"errcode": errcode, "errmsg": f"invalid credential rid: {A_RID}"}, good)
    await call(world.platform)
    first, second = world.wechat.requests

    assert [query(each)["access_token"] for each in (first, second)] == [each.value for each in world.issuer.issued]
    assert len(world.issuer.issued) == 2
    assert (first.method, first.url.path, first.content) == (second.method, second.url.path, second.content)


@refusals
@every_call
async def test_a_token_is_replaced_only_once(world: World, call: Call, good: dict[str, Any], errcode: int) -> None:
    """When WeChat also refuses the second token, IdentityProviderUnavailable is raised after exactly two calls."""
    world.answer({"errcode": errcode, "errmsg": f"invalid credential rid: {A_RID}"})
    with pytest.raises(IdentityProviderUnavailable) as raised:
        await call(world.platform)

    assert (raised.value.errcode, raised.value.rid) == (errcode, A_RID)
    assert len(world.wechat.requests) == 2


@every_call
@pytest.mark.parametrize(
    ("errcode", "error"),
    [(-1, IdentityProviderUnavailable), (45011, RateLimited), (45009, RateLimited), (48001, AppMisconfigured)],
)
async def test_other_errors_are_raised_after_one_call(
    world: World, call: Call, good: dict[str, Any], errcode: int, error: type[WxLoginError]
) -> None:
    """Any other errcode raises its error after one call."""
    world.answer({"errcode": errcode, "errmsg": f"no rid: {A_RID}"}, good)
    with pytest.raises(error) as raised:
        await call(world.platform)

    assert (raised.value.errcode, raised.value.rid) == (errcode, A_RID)
    assert len(world.wechat.requests) == 1


@every_call
@pytest.mark.parametrize(
    "error", [RateLimited("slower"), StoreUnavailable("gone"), IdentityProviderUnavailable("busy")], ids=repr
)
async def test_without_a_token_wechat_is_not_called(
    world: World, call: Call, good: dict[str, Any], error: WxLoginError
) -> None:
    """When there is no access token, its error is raised and WeChat is not called, so that no code is used."""
    world.issuer.error = error
    with pytest.raises(type(error)):
        await call(world.platform)

    assert world.wechat.requests == []


@every_call
@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b'{"errcode":"no"}', b" " * 70_000], ids=lambda body: repr(body[:9])
)
async def test_an_unexpected_response_is_a_bad_response(world: World, call: Call, good: Any, body: bytes) -> None:
    """An answer that is not an object, or is too large, raises IdentityProviderBadResponse for every call."""
    world.answer(lambda _request: reply(body))
    with pytest.raises(IdentityProviderBadResponse):
        await call(world.platform)


async def test_concurrent_calls_share_a_token(world: World) -> None:
    """Twenty concurrent calls fetch one access token."""
    await asyncio.gather(*(world.platform.is_current(ANN, KEY) for _ in range(20)))

    assert len(world.issuer.issued) == 1
    assert {query(each)["access_token"] for each in world.wechat.requests} == {world.issuer.issued[0].value}


@every_call
@pytest.mark.parametrize("errcode", [40001, 40029, 40013, 87009, 99999])
async def test_no_secret_is_revealed(
    world: World, call: Call, good: Any, errcode: int, caplog: pytest.LogCaptureFixture
) -> None:
    """No error, traceback, log or repr has a token, code or session_key, even when WeChat repeats the request."""
    world.answer(lambda request: reply({"errcode": errcode, "errmsg": f"{request.url} {request.content!r}"}))
    with caplog.at_level(0):
        try:
            told = repr(await call(world.platform))
        except WxLoginError as error:
            told = "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))
    told += caplog.text + repr(world.platform)
    hidden = [KEY.value, CODE.value, SIGNATURE, *(token.value for token in world.issuer.issued)]

    assert not [secret for secret in hidden if secret in told]


async def test_a_transport_error_reveals_no_token(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """When the text of a transport's exception has the URL, the error does not reveal the access token."""

    def fail(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError(f"cannot reach {request.url}")

    world.answer(fail)
    with caplog.at_level(0), pytest.raises(IdentityProviderUnavailable) as raised:
        await world.platform.is_current(ANN, KEY)
    told = "".join(traceback.format_exception(raised.value)) + caplog.text

    assert not [secret for secret in (world.issuer.issued[0].value, SIGNATURE) if secret in told]
