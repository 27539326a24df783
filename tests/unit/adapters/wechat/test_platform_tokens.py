"""WeChat's calls and the access token that they go with, which nobody is told."""

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
    """When WeChat refuses the access token, the same call is tried once more, with another token."""
    world.answer({"errcode": errcode, "errmsg": f"invalid credential rid: {A_RID}"}, good)
    await call(world.platform)
    first, second = world.wechat.requests

    assert [query(each)["access_token"] for each in (first, second)] == [each.value for each in world.issuer.issued]
    assert len(world.issuer.issued) == 2
    assert (first.method, first.url.path, first.content) == (second.method, second.url.path, second.content)


@refusals
@every_call
async def test_a_token_is_replaced_only_once(world: World, call: Call, good: dict[str, Any], errcode: int) -> None:
    """When WeChat refuses the second token too, it is IdentityProviderUnavailable, after exactly two calls."""
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
async def test_other_errors_are_believed_at_once(
    world: World, call: Call, good: dict[str, Any], errcode: int, error: type[WxLoginError]
) -> None:
    """Whatever else WeChat says is asked for once, and is the error that it means."""
    world.answer({"errcode": errcode, "errmsg": f"no rid: {A_RID}"}, good)
    with pytest.raises(error) as raised:
        await call(world.platform)

    assert (raised.value.errcode, raised.value.rid) == (errcode, A_RID)
    assert len(world.wechat.requests) == 1


@every_call
@pytest.mark.parametrize(
    "error", [RateLimited("slower"), StoreUnavailable("gone"), IdentityProviderUnavailable("busy")], ids=repr
)
async def test_without_a_token_nothing_is_asked(
    world: World, call: Call, good: dict[str, Any], error: WxLoginError
) -> None:
    """When there is no access token to be had, its error is the call's, and no code is spent."""
    world.issuer.error = error
    with pytest.raises(type(error)):
        await call(world.platform)

    assert world.wechat.requests == []


@every_call
@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b'{"errcode":"no"}', b" " * 70_000], ids=lambda body: repr(body[:9])
)
async def test_an_unexpected_response_is_a_bad_response(world: World, call: Call, good: Any, body: bytes) -> None:
    """An answer that is no object, or too large, is IdentityProviderBadResponse for every call."""
    world.answer(lambda _request: reply(body))
    with pytest.raises(IdentityProviderBadResponse):
        await call(world.platform)


async def test_calls_of_many_users_at_once_share_a_token(world: World) -> None:
    """Twenty calls at once fetch one access token."""
    await asyncio.gather(*(world.platform.is_current(ANN, KEY) for _ in range(20)))

    assert len(world.issuer.issued) == 1
    assert {query(each)["access_token"] for each in world.wechat.requests} == {world.issuer.issued[0].value}


@every_call
@pytest.mark.parametrize("errcode", [40001, 40029, 40013, 87009, 99999])
async def test_no_secret_is_told(
    world: World, call: Call, good: Any, errcode: int, caplog: pytest.LogCaptureFixture
) -> None:
    """No token, code or session_key is in any error, traceback, log or repr, though WeChat repeats the request."""
    world.answer(lambda request: reply({"errcode": errcode, "errmsg": f"{request.url} {request.content!r}"}))
    with caplog.at_level(0):
        try:
            told = repr(await call(world.platform))
        except WxLoginError as error:
            told = "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))
    told += caplog.text + repr(world.platform)
    hidden = [KEY.value, CODE.value, SIGNATURE, *(token.value for token in world.issuer.issued)]

    assert not [secret for secret in hidden if secret in told]


async def test_a_transport_that_fails_tells_no_token(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """A failure whose text has the URL does not get the access token told."""

    def fail(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError(f"cannot reach {request.url}")

    world.answer(fail)
    with caplog.at_level(0), pytest.raises(IdentityProviderUnavailable) as raised:
        await world.platform.is_current(ANN, KEY)
    told = "".join(traceback.format_exception(raised.value)) + caplog.text

    assert not [secret for secret in (world.issuer.issued[0].value, SIGNATURE) if secret in told]
