"""Codes that a phone scans.

https://developers.weixin.qq.com/miniprogram/dev/OpenApiDoc/qrcode-link/qr-code/getUnlimitedQRCode.html
"""

import re
from base64 import b64encode
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from urllib.parse import quote

import segno

from wechat_sandbox.clock import rfc3339
from wechat_sandbox.errors import ControlRefused, require
from wechat_sandbox.lru import LruDict
from wechat_sandbox.quotas import MINUTE, Limit

PER_MINUTE = 5_000
MAX_SCENE_CHARACTERS = 32
WIDTHS = range(280, 1281)
DEFAULT_WIDTH = 430
ENV_VERSIONS = ("release", "trial", "develop")
HOME = "pages/index/index"
"""The page that a code without a page opens, if the app's pages are not known. The first one otherwise."""
CODES_REMEMBERED = 1_000
CODES_SHOWN = 20
APPS_REMEMBERED = 10_000

_is_scene = re.compile(r"[A-Za-z0-9!#$&'()*+,/:;=?@\-._~]+").fullmatch
_is_page = re.compile(r"[^/?\s][^?\s]*").fullmatch


@dataclass(frozen=True, slots=True)
class WxaCode:
    """A code of an app, drawn at `at` (Unix seconds). `picture` is a PNG."""

    at: float
    appid: str
    scene: str
    page: str
    env_version: str
    picture: bytes = field(repr=False)

    @property
    def query(self) -> dict[str, str]:
        """Return the `options` of the page: the scene, as encodeURIComponent() encodes it."""
        return {"scene": encode(self.scene)}

    def shown(self) -> dict[str, str]:
        """Return the code for JSON, with the picture as a `data:` URL."""
        picture = f"data:image/png;base64,{b64encode(self.picture).decode()}"
        given = {"appid": self.appid, "scene": self.scene, "page": self.page, "env_version": self.env_version}
        return {"at": rfc3339(self.at), **given, "picture": picture}


class WxaCodes:
    """The last 1,000 codes, and the pages of the apps.

    Every page exists, unless the pages of the app were set.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._limit = Limit(now, PER_MINUTE, MINUTE, 45009)
        self._pages: LruDict[str, Sequence[str] | None] = LruDict(APPS_REMEMBERED)
        self._codes: deque[WxaCode] = deque(maxlen=CODES_REMEMBERED)

    def set_pages(self, appid: str, pages: Sequence[str] | None) -> None:
        """Set the published pages of an app. None: every page exists."""
        self._pages[appid] = pages

    def draw(self, appid: str, scene: str, page: str, *, check_path: bool, env_version: str, width: int) -> WxaCode:
        """Draw a code of `page`, or of the home page if it is empty, about `width` pixels wide.

        Raises WeChatError, in this order: 45009 (beyond 5,000 a minute), 40169 (length of the scene), 40129 (its
        characters), 41030 (a page with a leading slash or parameters; with `check_path`, an unpublished one), 40097
        (env_version, width).
        """
        self._limit.count(appid)
        require(1 <= len(scene) <= MAX_SCENE_CHARACTERS, 40169)
        require(_is_scene(scene), 40129)
        published = self._pages.get(appid)
        require(not page or _is_page(page), 41030)
        require(not (page and check_path) or published is None or page in published, 41030)
        require(env_version in ENV_VERSIONS and width in WIDTHS, 40097)
        page = page or (published or [HOME])[0]
        code = WxaCode(self._now(), appid, scene, page, env_version, picture(text_of(appid, page, scene), width))
        self._codes.append(code)
        return code

    def scan(self, scene: str, appid: str | None = None) -> WxaCode:
        """Return the newest code with this scene, of this app or of any. Raises ControlRefused if there is none."""
        for code in reversed(self._codes):
            if code.scene == scene and appid in (None, code.appid):
                return code
        raise ControlRefused(f"no code with the scene {scene!r} was drawn")

    def shown(self) -> list[dict[str, str]]:
        """Return the last 20 codes, newest last."""
        return [code.shown() for code in list(self._codes)[-CODES_SHOWN:]]


def text_of(appid: str, page: str, scene: str) -> str:
    """Return what the picture says: `wxacode:APPID/PAGE?scene=SCENE`. WeChat's own pictures are for WeChat only."""
    return f"wxacode:{appid}/{page}?scene={encode(scene)}"


def encode(scene: str) -> str:
    """Return the scene as JavaScript's encodeURIComponent() does."""
    return quote(scene, safe="!~*'()")


def picture(text: str, width: int) -> bytes:
    """Return a QR code in PNG. Its modules are as wide as fits into `width` pixels."""
    code = segno.make_qr(text, error="m")
    written = BytesIO()
    code.save(written, kind="png", scale=width // code.symbol_size()[0])
    return written.getvalue()
