"""Sandboxes in this process and behind a real server, and WeChat's rules on a clock that the test moves."""

import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import httpx2
import pytest
import uvicorn

from support import plain_http
from support.plain_http import transport_to
from wechat_sandbox.app import create_sandbox
from wechat_sandbox.clock import Clock
from wechat_sandbox.wechat import WeChat

APPID = "wx0123456789abcdef"
SECRET = "0123456789abcdef0123456789abcdef"
Ask = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
def anyio_backend() -> str:
    """Run async tests on asyncio, as uvicorn does."""
    return "asyncio"


@pytest.fixture
def clock() -> Clock:
    """A clock at 2022-11-16T08:38:10.250Z, which moves only when it is advanced."""
    return Clock(lambda: 1668587890.25)


@pytest.fixture
def wechat(clock: Clock) -> WeChat:
    """WeChat's rules for any app, on the clock of the test."""
    return WeChat(clock)


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    """A client of a sandbox for any app, in this process."""
    transport = transport_to(create_sandbox())
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield client


@pytest.fixture
def control(client: httpx2.AsyncClient) -> Ask:
    """A function that calls a control of the sandbox."""

    async def control(path: str, /, **order: object) -> dict[str, Any]:
        answer = await client.post(f"/sandbox{path}", json=order)
        assert answer.is_success, answer.text
        fields: dict[str, Any] = answer.json()
        return fields

    return control


@pytest.fixture
def call(client: httpx2.AsyncClient) -> Ask:
    """A function that calls WeChat with an access token, by default the current one of APPID.

    With a body it sends a POST.
    """

    async def call(path: str, body: object = None, /, appid: str = APPID, **query: str) -> dict[str, Any]:
        order = {"grant_type": "client_credential", "appid": appid, "secret": SECRET}
        token = (await client.post("/cgi-bin/stable_token", json=order)).json()["access_token"]
        method = "GET" if body is None else "POST"
        answer = await client.request(method, path, params={"access_token": token} | query, json=body)
        assert answer.status_code == 200
        fields: dict[str, Any] = answer.json()
        return fields

    return call


@pytest.fixture
def served() -> Iterator[httpx2.Client]:
    """A client of a sandbox that uvicorn serves on a loopback port."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(create_sandbox(), log_config=None))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    with plain_http.client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", trust_env=False) as client:
        yield client
    server.should_exit = True
    thread.join()
    listener.close()
