"""The page that does what a phone would do."""

import re
from base64 import b64encode
from functools import cache
from hashlib import sha256
from importlib.resources import files

from litestar import MediaType, Response, get

PAGE = "page.html"


@get("/", media_type=MediaType.HTML, sync_to_thread=False)
def show_page() -> Response[str]:
    """Show the page."""
    page = read_page()
    return Response(page, media_type=MediaType.HTML, headers={"Content-Security-Policy": policy(page)})


@cache
def read_page() -> str:
    """Return the HTML, which includes its style and script."""
    return files("wechat_sandbox").joinpath(PAGE).read_text(encoding="utf-8")


@cache
def policy(page: str) -> str:
    """Return a Content-Security-Policy that allows this page's style, script and requests only."""
    style, script = (f"'sha256-{_hash(page, tag)}'" for tag in ("style", "script"))
    return (
        f"default-src 'none'; style-src {style}; script-src {script}; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _hash(page: str, tag: str) -> str:
    found = re.search(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    return b64encode(sha256(found[1].encode() if found else b"").digest()).decode()
