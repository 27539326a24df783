"""Codes for scanning: the picture, the rules, and what a phone opens."""

import re
from base64 import b64decode
from collections.abc import AsyncIterator, Awaitable, Callable
from io import BytesIO
from typing import Any

import httpx2
import pytest
import zxingcpp
from PIL import Image

from wechat_sandbox.clock import Clock
from wechat_sandbox.errors import WeChatError
from wechat_sandbox.wechat import WeChat

pytestmark = pytest.mark.anyio

Ask = Callable[..., Awaitable[dict[str, Any]]]
APPID, OTHER, SECRET = "wx0123456789abcdef", "wxfedcba9876543210", "0123456789abcdef0123456789abcdef"
PATH = "/wxa/getwxacodeunlimit"
SCENE, PAGE = "8nX0c-_2QhWcT1vK3yLmPA", "pages/scan/scan"


@pytest.fixture
def draw(client: httpx2.AsyncClient) -> Callable[..., Awaitable[httpx2.Response]]:
    """A function that draws a code, by default with SCENE and PAGE of APPID, and returns the response."""

    async def draw(appid: str = APPID, **changes: object) -> httpx2.Response:
        order = {"grant_type": "client_credential", "appid": appid, "secret": SECRET}
        token = (await client.post("/cgi-bin/stable_token", json=order)).json()["access_token"]
        body = {"scene": SCENE, "page": PAGE, **changes}
        return await client.post(PATH, params={"access_token": token}, json=body)

    return draw


Draw = Callable[..., Awaitable[httpx2.Response]]


def read(picture: bytes) -> list[str]:
    """Return the texts that a QR reader finds in a picture."""
    return [found.text for found in zxingcpp.read_barcodes(Image.open(BytesIO(picture)))]


async def test_the_picture_has_the_scene(draw: Draw) -> None:
    """The answer is a PNG with a QR code of the app, the page and the scene."""
    answer = await draw()

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/png"
    assert Image.open(BytesIO(answer.content)).format == "PNG"
    assert read(answer.content) == [f"wxacode:{APPID}/{PAGE}?scene={SCENE}"]


@pytest.mark.parametrize("width", [280, 430, 1280])
async def test_the_picture_is_about_as_wide_as_asked(draw: Draw, width: int) -> None:
    """A picture is never wider than `width`, lacks less than a pixel for each module, and can be read."""
    answer = await draw(width=width)
    across, down = Image.open(BytesIO(answer.content)).size

    assert across == down
    assert 0 <= width - across < 60
    assert len(read(answer.content)) == 1


@pytest.mark.parametrize(
    ("wrong", "errcode", "errmsg"),
    [
        ({"scene": ""}, 40169, "invalid length for scene, or the data is not json string"),
        ({"scene": "a" * 33}, 40169, "invalid length for scene, or the data is not json string"),
        ({"scene": "中文"}, 40129, "invalid scene"),
        ({"scene": "a b"}, 40129, "invalid scene"),
        ({"scene": "a%20b"}, 40129, "invalid scene"),
        ({"scene": 1}, 47001, "data format error"),
        ({"page": "/pages/scan/scan"}, 41030, "invalid page"),
        ({"page": "pages/scan/scan?a=1", "check_path": False}, 41030, "invalid page"),
        ({"env_version": "test"}, 40097, "invalid args"),
        ({"width": 279}, 40097, "invalid args"),
        ({"width": 1281}, 40097, "invalid args"),
        ({"width": "430"}, 47001, "data format error"),
        ({"check_path": "no"}, 47001, "data format error"),
    ],
)
async def test_wrong_orders_are_refused(draw: Draw, wrong: dict[str, Any], errcode: int, errmsg: str) -> None:
    """A refusal is JSON in HTTP 200, with WeChat's errcode and text."""
    answer = await draw(**wrong)

    assert answer.headers["content-type"] == "application/json; encoding=utf-8"
    assert answer.json()["errcode"] == errcode
    assert re.fullmatch(rf"{errmsg}.* rid: [0-9a-f]{{8}}(-[0-9a-f]{{8}}){{2}}", answer.json()["errmsg"])


async def test_a_scene_may_have_all_of_wechats_characters(draw: Draw, control: Ask) -> None:
    """Each character of WeChat's list is allowed, and the page gets them as encodeURIComponent() encodes them."""
    scene, encoded = "!#$&'()*+,/:;=?@-._~Az09", "!%23%24%26'()*%2B%2C%2F%3A%3B%3D%3F%40-._~Az09"
    answer = await draw(scene=scene)

    assert read(answer.content) == [f"wxacode:{APPID}/{PAGE}?scene={encoded}"]
    assert await control("/scan", scene=scene) == {"path": PAGE, "query": {"scene": encoded}}


async def test_a_page_must_be_published(draw: Draw, control: Ask) -> None:
    """Every page exists until an app's pages are set; then another one needs check_path false."""
    await control("/pages", appid=APPID, pages=["pages/home/home", PAGE])

    assert (await draw(page="pages/new/new")).json()["errcode"] == 41030
    assert (await draw(page="pages/new/new", check_path=False)).headers["content-type"] == "image/png"
    assert (await draw()).headers["content-type"] == "image/png"
    assert (await draw(OTHER, page="pages/new/new")).headers["content-type"] == "image/png"
    await control("/pages", appid=APPID, pages=None)
    assert (await draw(page="pages/new/new")).headers["content-type"] == "image/png"


async def test_a_code_without_a_page_opens_the_home_page(draw: Draw, control: Ask) -> None:
    """Without a page, the first one of the app's pages opens, or pages/index/index."""
    await draw(page="")
    assert (await control("/scan", scene=SCENE))["path"] == "pages/index/index"

    await control("/pages", appid=APPID, pages=["pages/home/home"])
    await draw(page="")
    assert (await control("/scan", scene=SCENE))["path"] == "pages/home/home"


async def test_a_scan_opens_the_newest_code(draw: Draw, control: Ask) -> None:
    """The newest code with a scene is scanned: of any app, or of the one that is named."""
    await draw(APPID, page="pages/a/a")
    await draw(OTHER, page="pages/b/b")

    assert (await control("/scan", scene=SCENE))["path"] == "pages/b/b"
    assert (await control("/scan", scene=SCENE, appid=APPID))["path"] == "pages/a/a"


async def test_a_code_that_was_never_drawn_cannot_be_scanned(client: httpx2.AsyncClient) -> None:
    """Scanning an unknown scene is a 400 that says so."""
    answer = await client.post("/sandbox/scan", json={"scene": "none"})

    assert answer.status_code == 400
    assert answer.json()["detail"] == "no code with the scene 'none' was drawn"


async def test_the_last_codes_are_listed(client: httpx2.AsyncClient, draw: Draw) -> None:
    """The list has the last 20 codes, newest last, with their pictures."""
    for number in range(21):
        await draw(scene=f"s{number}", env_version="trial")

    *_, last = shown = (await client.get("/sandbox/wxacodes")).json()["wxacodes"]

    assert [code["scene"] for code in shown] == [f"s{number}" for number in range(1, 21)]
    assert (last["appid"], last["page"], last["env_version"]) == (APPID, PAGE, "trial")
    assert read(b64decode(last["picture"].removeprefix("data:image/png;base64,")))[0].endswith("?scene=s20")


async def test_the_call_needs_a_token_and_a_post(client: httpx2.AsyncClient, call: Ask) -> None:
    """Without a token it is 41001, with GET 43002."""
    assert (await client.post(PATH, json={"scene": SCENE})).json()["errcode"] == 41001
    assert (await call(PATH))["errcode"] == 43002


async def test_a_body_in_chunks_is_412(client: httpx2.AsyncClient) -> None:
    """A body without a Content-Length is 412 without a body."""

    async def chunks() -> AsyncIterator[bytes]:
        yield b'{"scene":"a"}'

    answer = await client.post(PATH, content=chunks())

    assert (answer.status_code, answer.content) == (412, b"")


def test_an_app_has_5000_calls_a_minute(wechat: WeChat, clock: Clock) -> None:
    """The call after the 5,000th of a minute is 45009, of this app alone; the next minute allows it."""

    def draw_without_scene(appid: str) -> int:
        with pytest.raises(WeChatError) as refused:
            wechat.wxacodes.draw(appid, "", PAGE, check_path=True, env_version="release", width=430)
        return refused.value.errcode

    assert {draw_without_scene(APPID) for _ in range(5_000)} == {40169}
    assert draw_without_scene(APPID) == 45009
    assert draw_without_scene(OTHER) == 40169
    clock.advance(60)
    assert draw_without_scene(APPID) == 40169
