"""getUnlimitedQRCode: the request, the picture, and what WeChat says in place of one."""

import base64
import json
from typing import Any

import pytest

from adapters.wechat.api import MAX_PICTURE_BYTES
from domain.errors import AppMisconfigured, IdentityProviderBadResponse, IdentityProviderUnavailable, RateLimited
from unit.adapters.wechat.platform_world import APP, JPEG, OK, SCENE, World, query, reply
from unit.adapters.wechat.test_platform_signing import SigningWeChat, signing

pytestmark = pytest.mark.anyio

PNG = b"\x89PNG\r\n\x1a\n\x00\x00"
PAGE = "pages/scan/scan"

__all__ = ["signing"]


async def draw(world: World, env_version: str = "release") -> bytes:
    """Draw the code of a scene."""
    return await world.platform.draw_code(APP, SCENE, PAGE, env_version)


def picture(body: bytes) -> Any:
    """Return the answer with a picture, as WeChat labels it."""
    return lambda _: reply(body, **{"content-type": "image/jpeg"})


@pytest.mark.parametrize("env_version", ["release", "trial", "develop"])
async def test_the_request_names_scene_page_and_version(world: World, env_version: str) -> None:
    """The body is JSON of known length with scene, page and version. Only a released page has to exist."""
    world.answer(picture(JPEG))
    await draw(world, env_version)
    request = world.wechat.request

    assert (request.method, request.url.path) == ("POST", "/wxa/getwxacodeunlimit")
    assert query(request) == {"access_token": world.issuer.issued[0].value}
    assert request.headers["content-length"] == str(len(request.content))
    assert json.loads(request.content) == {
        "scene": SCENE,
        "page": PAGE,
        "env_version": env_version,
        "check_path": env_version == "release",
    }


@pytest.mark.parametrize("body", [JPEG + bytes(195_000), PNG, JPEG + bytes(MAX_PICTURE_BYTES - len(JPEG))], ids=len)
async def test_a_picture_is_returned_unchanged(world: World, body: bytes) -> None:
    """A JPEG or PNG of up to a megabyte comes back byte for byte."""
    world.answer(picture(body))

    assert await draw(world) == body


async def test_a_larger_picture_is_refused(world: World) -> None:
    """A picture of more than a megabyte is a bad response."""
    world.answer(picture(JPEG + bytes(MAX_PICTURE_BYTES)))
    with pytest.raises(IdentityProviderBadResponse, match="1024 KiB"):
        await draw(world)


async def test_other_calls_stay_bounded_at_64_kib(world: World) -> None:
    """The bound of pictures is for pictures alone."""
    world.answer({"errcode": 0, "vaild": True, "create_time": 1, "padding": "x" * 70_000})
    with pytest.raises(IdentityProviderBadResponse, match="64 KiB"):
        await world.platform.encrypted_at("AAAA", APP)


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"GIF89a", OK, [], OK | {"buffer": "AAAA"}, OK | {"buffer": 1}, OK | {"buffer": "%"}],
    ids=str,
)
async def test_something_else_is_a_bad_response(world: World, body: Any) -> None:
    """An answer that is neither a picture nor an error is a bad response."""
    world.answer(lambda _: reply(body))
    with pytest.raises(IdentityProviderBadResponse):
        await draw(world)


@pytest.mark.parametrize(
    ("errcode", "error", "text"),
    [
        (40129, AppMisconfigured, "scene"),
        (40169, AppMisconfigured, "scene"),
        (41030, AppMisconfigured, "WXLOGIN_SCAN_PAGE"),
        (45009, RateLimited, "wait a minute"),
        (-1, IdentityProviderUnavailable, "busy"),
    ],
)
async def test_an_errcode_is_explained(world: World, errcode: int, error: type[Exception], text: str) -> None:
    """The errcodes of this call have their errors, whose texts say what to do."""
    world.answer({"errcode": errcode, "errmsg": "no rid: 6374a1b2-0c3d4e5f-12ab34cd"})
    with pytest.raises(error, match=text) as raised:
        await draw(world)

    assert raised.value.errcode == errcode  # type: ignore[attr-defined]  # of all these classes
    assert raised.value.rid == "6374a1b2-0c3d4e5f-12ab34cd"  # type: ignore[attr-defined]  # as above


async def test_an_app_with_signing_keys_signs_and_reads_a_sealed_picture(world: World, signing: SigningWeChat) -> None:
    """The request is encrypted and signed, and the base64 of a signed answer is the picture."""
    world.answer(signing.seal(OK | {"contentType": "image/jpeg", "buffer": base64.b64encode(JPEG).decode()}))

    assert await draw(world) == JPEG
    assert signing.read[0]["scene"] == SCENE
    assert SCENE.encode() not in world.wechat.request.content
    assert "wechatmp-signature" in world.wechat.request.headers


async def test_a_picture_in_the_clear_is_taken_from_a_signed_call(world: World, signing: SigningWeChat) -> None:
    """WeChat may not sign pictures: one in the clear is taken, and JSON in the clear is not."""
    world.answer(picture(JPEG))
    assert await draw(world) == JPEG
    world.answer(OK | {"buffer": base64.b64encode(JPEG).decode()})
    with pytest.raises(IdentityProviderBadResponse, match="not signed"):
        await draw(world)
