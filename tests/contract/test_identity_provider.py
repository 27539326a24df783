"""The promises of IdentityProvider, on every adapter."""

import asyncio
import base64
from collections.abc import AsyncIterator

import pytest

from domain.errors import CodeInvalid, CodeUsed
from domain.identity import Identity, LoginCode
from domain.session_key import SessionKey
from support.platforms import APP, OTHER_APP, PLATFORMS, Phone

pytestmark = pytest.mark.anyio

ANN = Identity(APP, "oVBkZ0aYgDMDIywRdgPW8-joxXc4", "oZ7ZE6PHsqJ2Xq0kVn3K5s1cC7Rk")
BOB = Identity(APP, "oVBkZ0aYgDMDIywRdgPW8-joxXc5")


@pytest.fixture(params=PLATFORMS)
async def phone(request: pytest.FixtureRequest) -> AsyncIterator[Phone]:
    """The provider under test, and its wx.login()."""
    async with PLATFORMS[request.param].open_phone() as phone:
        yield phone


@pytest.mark.parametrize("identity", [ANN, BOB], ids=["with a unionid", "without a unionid"])
async def test_a_code_returns_the_identity(phone: Phone, identity: Identity) -> None:
    """A code returns the identity that it was issued for, with the unionid if there is one."""
    code = await phone.wx_login(identity)

    assert (await phone.identities.exchange(code, APP))[0] == identity


async def test_an_exchange_returns_a_session_key(phone: Phone) -> None:
    """An exchange also returns a session_key: 16 bytes as base64, different for every login."""
    keys = [(await phone.identities.exchange(await phone.wx_login(ANN), APP))[1] for _ in range(3)]

    assert {type(key) for key in keys} == {SessionKey}
    assert {len(base64.b64decode(key.value, validate=True)) for key in keys} == {16}
    assert len(set(keys)) == 3


async def test_a_code_works_once(phone: Phone) -> None:
    """A code that was exchanged raises CodeUsed at every further exchange."""
    code = await phone.wx_login(ANN)
    await phone.identities.exchange(code, APP)
    for _ in range(2):
        with pytest.raises(CodeUsed):
            await phone.identities.exchange(code, APP)


async def test_a_code_exchanged_many_times_at_once_works_once(phone: Phone) -> None:
    """Of ten concurrent exchanges of one code, one succeeds and nine raise CodeUsed."""
    code = await phone.wx_login(ANN)

    exchanges = (phone.identities.exchange(code, APP) for _ in range(10))
    outcomes = [type(outcome) for outcome in await asyncio.gather(*exchanges, return_exceptions=True)]

    assert sorted(kind.__name__ for kind in outcomes) == ["CodeUsed"] * 9 + ["tuple"]


@pytest.mark.parametrize("code", ["0unknown", "x" * 512, "a&js_code=b", "%00"])
async def test_an_unknown_code_is_invalid(phone: Phone, code: str) -> None:
    """A code in any form that was never issued raises CodeInvalid."""
    with pytest.raises(CodeInvalid):
        await phone.identities.exchange(LoginCode(code), APP)


async def test_another_apps_code_is_invalid_and_not_used_up(phone: Phone) -> None:
    """A code of another app raises CodeInvalid, and still works for its own app."""
    code = await phone.wx_login(ANN)
    with pytest.raises(CodeInvalid):
        await phone.identities.exchange(code, OTHER_APP)

    assert (await phone.identities.exchange(code, APP))[0] == ANN


async def test_apps_have_their_own_users(phone: Phone) -> None:
    """The same openid in another app is another identity."""
    elsewhere = Identity(OTHER_APP, ANN.openid)
    code = await phone.wx_login(elsewhere)

    assert (await phone.identities.exchange(code, OTHER_APP))[0] == elsewhere


async def test_codes_of_two_users_return_their_own_identities(phone: Phone) -> None:
    """Two codes issued at the same time return the identities of their own users, in any order of exchange."""
    anns, bobs = await phone.wx_login(ANN), await phone.wx_login(BOB)

    assert (await phone.identities.exchange(bobs, APP))[0] == BOB
    assert (await phone.identities.exchange(anns, APP))[0] == ANN
