"""A web page in a developer's browser cannot use the controls of the sandbox."""

from collections.abc import AsyncIterator

import httpx2
import pytest
from litestar.routes import HTTPRoute

from support.plain_http import transport_to
from wechat_sandbox.app import create_sandbox

pytestmark = pytest.mark.anyio

SHARED = create_sandbox()
"""The sandbox of all tests of this file, because most of their requests are refused and change nothing."""

CONTROLS = sorted(
    (method, route.path)
    for route in SHARED.routes
    if isinstance(route, HTTPRoute)
    for method in route.methods - {"OPTIONS", "HEAD"}
)


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the shared sandbox."""
    async with httpx2.AsyncClient(transport=transport_to(SHARED), base_url="http://127.0.0.1") as client:
        yield client


@pytest.fixture
async def open_to_all() -> AsyncIterator[httpx2.AsyncClient]:
    """A client of a sandbox that accepts any host name."""
    transport = httpx2.ASGITransport(create_sandbox(any_host=True))  # type: ignore[arg-type]  # another type
    async with httpx2.AsyncClient(transport=transport, base_url="http://sandbox:8001") as client:
        yield client


@pytest.mark.parametrize(("method", "path"), CONTROLS)
@pytest.mark.parametrize(
    "kind",
    [
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/plain",
        "text/plain;application/json",
        "application/jsonx",
        "",
    ],
)
async def test_a_form_of_a_web_page_is_refused(client: httpx2.AsyncClient, method: str, path: str, kind: str) -> None:
    """A body with a content type that any web page may send, or without one, is a problem with 415.

    A GET is allowed.
    """
    answer = await client.request(method, path, content=b"{}", headers={"Content-Type": kind})

    if method == "GET":
        assert answer.status_code == 200
    else:
        assert (answer.status_code, answer.json()["status"]) == (415, 415)
        assert "Content-Type: application/json" in answer.json()["detail"]


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "Application/JSON"])
async def test_json_is_accepted(client: httpx2.AsyncClient, kind: str) -> None:
    """The content type of JSON is accepted in any case and with parameters."""
    answer = await client.post("/sandbox/codes", content=b'{"appid":"wx1"}', headers={"Content-Type": kind})

    assert answer.status_code == 201


async def test_a_refused_form_has_no_effect(client: httpx2.AsyncClient) -> None:
    """A refused form does not move the clock."""
    before = (await client.post("/sandbox/clock", json={"advance_seconds": 0})).json()["now"]
    await client.post("/sandbox/clock", content=b'{"advance_seconds":86400}')
    after = (await client.post("/sandbox/clock", json={"advance_seconds": 0})).json()["now"]

    assert after[:10] == before[:10]


@pytest.mark.parametrize(("method", "path"), CONTROLS)
@pytest.mark.parametrize(
    "host",
    [
        "attacker.example",
        "attacker.example:8001",
        "127.0.0.1.attacker.example",
        "localhost.attacker.example:8001",
        "127.0.0.1:8001@attacker.example",
        "192.168.1.4:8001",
        "[::2]",
        "127.0.0.1:",
        "127.0.0.1.5",
        "127.attacker.example",
        "",
    ],
)
async def test_another_host_name_is_refused(client: httpx2.AsyncClient, method: str, path: str, host: str) -> None:
    """Every control and the page are 421 for another host name, which may be a DNS rebinding attack."""
    headers = {"Host": host, "Content-Type": "application/json"}
    answer = await client.request(method, path, content=b"{}", headers=headers)

    assert (answer.status_code, answer.json()["status"]) == (421, 421)


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8001", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:65535", "127.0.0.2", "[::1]", "[::1]:8001"],
)
async def test_names_of_this_machine_are_accepted(client: httpx2.AsyncClient, host: str) -> None:
    """Every name of this machine is accepted, with any port."""
    assert (await client.get("/sandbox/calls", headers={"Host": host})).status_code == 200


async def test_wechats_calls_accept_any_host(client: httpx2.AsyncClient) -> None:
    """WeChat's calls accept any host name."""
    answer = await client.get("/cgi-bin/token", headers={"Host": "api.weixin.qq.com"})

    assert answer.status_code == 200
    assert answer.json()["errcode"]


async def test_a_sandbox_for_other_machines_accepts_any_host(open_to_all: httpx2.AsyncClient) -> None:
    """A sandbox for other machines accepts any host name, and still refuses a form of a web page."""
    assert (await open_to_all.post("/sandbox/codes", json={"appid": "wx1"})).status_code == 201
    assert (await open_to_all.post("/sandbox/codes", content=b'{"appid":"wx1"}')).status_code == 415
