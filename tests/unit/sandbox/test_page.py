"""The page of the sandbox."""

import re
from base64 import b64encode
from hashlib import sha256

import httpx2
import pytest

from support.plain_http import transport_to
from wechat_sandbox.api import ENDPOINTS
from wechat_sandbox.app import create_sandbox

pytestmark = pytest.mark.anyio


async def test_the_page_is_html_in_chinese(client: httpx2.AsyncClient) -> None:
    """GET /sandbox is an HTML page, and a control below it still answers JSON."""
    answer = await client.get("/sandbox")

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert '<html lang="zh-CN">' in answer.text
    assert (await client.get("/sandbox/calls")).headers["content-type"] == "application/json"


async def test_the_page_needs_no_network(client: httpx2.AsyncClient) -> None:
    """The page loads nothing from other hosts, and its policy forbids it."""
    answer = await client.get("/sandbox")
    policy = answer.headers["content-security-policy"]

    assert not re.search(r"""(src|href|url)\s*[=(]\s*["']?(https?:)?//""", answer.text)
    assert "default-src 'none'" in policy
    assert "connect-src 'self'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("tag", ["style", "script"])
async def test_the_policy_allows_the_pages_own_parts(client: httpx2.AsyncClient, tag: str) -> None:
    """The page has one style and one script, and the policy has their hashes."""
    answer = await client.get("/sandbox")
    (part,) = re.findall(rf"<{tag}>(.*?)</{tag}>", answer.text, re.DOTALL)
    digest = b64encode(sha256(part.encode()).digest()).decode()

    assert f"{tag}-src 'sha256-{digest}'" in answer.headers["content-security-policy"]


async def test_the_page_has_no_markup_that_the_policy_forbids(client: httpx2.AsyncClient) -> None:
    """No element has an inline style or an inline handler."""
    assert not re.search(r"<[^>]+\s(style|on\w+)=", (await client.get("/sandbox")).text)


async def test_the_page_has_all_of_wechats_calls(client: httpx2.AsyncClient) -> None:
    """The page has every path of the sandbox, so that a fault can be selected for it."""
    page = (await client.get("/sandbox")).text

    assert [path for path in ENDPOINTS if f'"{path}"' not in page] == []


async def test_the_page_shows_how_a_code_is_sent(client: httpx2.AsyncClient) -> None:
    """The command on the page uses the page's own address, and a note says when to replace it."""
    page = (await client.get("/sandbox")).text

    assert "curl ${location.origin}/v1/sessions -d '${JSON.stringify({ code })}'" in page
    assert "单独运行沙箱（wxlogin sandbox）时，命令里的地址要换成服务端的地址" in page


async def test_the_apps_are_listed_without_their_secrets(client: httpx2.AsyncClient) -> None:
    """The page has the given apps without their secrets, and none when the sandbox accepts every appid."""
    transport = transport_to(create_sandbox({"wx1": "a secret", "wx2": "another"}))

    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as other:
        given = await other.get("/sandbox/apps")

    assert given.json() == {"apps": ["wx1", "wx2"]}
    assert (await client.get("/sandbox/apps")).json() == {"apps": []}
