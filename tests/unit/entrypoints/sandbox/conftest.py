"""A sandbox in this process, one behind a real server, and rules whose clock the test moves."""

import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
import uvicorn

from entrypoints.sandbox.app import create_sandbox
from entrypoints.sandbox.clock import Clock
from entrypoints.sandbox.wechat import WeChat


@pytest.fixture
def anyio_backend() -> str:
    """Run async tests on asyncio, as uvicorn does."""
    return "asyncio"


@pytest.fixture
def clock() -> Clock:
    """A clock that stands at 2022-11-16T08:38:10.250Z until it is advanced."""
    return Clock(lambda: 1668587890.25)


@pytest.fixture
def wechat(clock: Clock) -> WeChat:
    """WeChat's rules for any app, on the clock that stands."""
    return WeChat(clock.now)


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """A client of a sandbox for any app, in this process."""
    transport = httpx.ASGITransport(create_sandbox())
    async with httpx.AsyncClient(transport=transport, base_url="https://api.weixin.qq.com") as client:
        yield client


@pytest.fixture
def served() -> Iterator[httpx.Client]:
    """A client of a sandbox that uvicorn serves on a loopback port."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(create_sandbox(), log_config=None))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    with httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", trust_env=False) as client:
        yield client
    server.should_exit = True
    thread.join()
    listener.close()
