"""/auth between the parser and the wire."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from adapters.memory.session_store import MemorySessionStore
from application.sessions import Sessions
from domain.session import SessionPolicy
from entrypoints.http.auth import Checks
from entrypoints.http.protocol import HttpProtocol
from support.clock import Clock

pytestmark = pytest.mark.anyio

ASKED = b"GET /auth HTTP/1.1\r\nHost: wxlogin\r\n\r\n"


class Wire(asyncio.Transport):
    """A connection without a network."""

    def __init__(self, protocol: HttpProtocol) -> None:
        super().__init__()
        self.protocol = protocol
        self.sent = b""
        self.closing = False
        protocol.connection_made(self)

    def write(self, data: Any) -> None:
        """Like uvloop's, which raises when there is nobody left to write to."""
        if self.closing:
            raise RuntimeError("the handler is closed")
        self.sent += data

    def is_closing(self) -> bool:
        """Whether it is closed, by whichever side."""
        return self.closing

    def close(self) -> None:
        """Hang up."""
        self.closing = True

    def lose(self) -> None:
        """The client is gone."""
        self.closing = True
        self.protocol.connection_lost(ConnectionResetError())

    def pause_reading(self) -> None:
        """What came is in the parser already."""

    def resume_reading(self) -> None:
        """There is nothing more."""

    @property
    def answers(self) -> int:
        """How many answers were sent."""
        return self.sent.count(b"HTTP/1.1 401 ")


class Server:
    """The protocol's server, with no session in its store."""

    def __init__(self) -> None:
        checks = Checks(Sessions(MemorySessionStore(), policy=SessionPolicy(), clock=Clock()))
        app: Any = SimpleNamespace(state=SimpleNamespace(checks=checks))
        self.config = uvicorn.Config(app, interface="asgi3", proxy_headers=False, ws="none", log_config=None)
        self.state = ServerState()

    def connect(self) -> Wire:
        """A new connection."""
        return Wire(HttpProtocol(self.config, self.state, {}))


@pytest.fixture
def server() -> Server:
    """The server under test."""
    return Server()


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_an_answer_waits_for_room(server: Server) -> None:
    """What a slow client has not taken in yet does not grow: the next answer is sent when there is room again."""
    wire = server.connect()
    wire.protocol.pause_writing()
    wire.protocol.data_received(ASKED)
    await settle()
    before = wire.answers
    wire.protocol.resume_writing()
    await settle()

    assert (before, wire.answers) == (0, 1)


@pytest.mark.parametrize("requests", [1, 3])
async def test_a_client_that_is_gone_harms_no_other(server: Server, requests: int) -> None:
    """Of those who ask at once, one that hangs up before its answer leaves the others theirs."""
    one, gone, other = (server.connect() for _ in range(3))
    one.protocol.data_received(ASKED)
    gone.protocol.data_received(ASKED * requests)
    other.protocol.data_received(ASKED)
    gone.lose()
    await settle()

    assert (one.answers, gone.answers, other.answers) == (1, 0, 1)


async def test_a_slow_client_that_goes_is_forgotten(server: Server) -> None:
    """An answer for which there was no room is not sent to a client that has gone since."""
    wire = server.connect()
    wire.protocol.pause_writing()
    wire.protocol.data_received(ASKED)
    await settle()
    wire.lose()
    await settle()

    assert (wire.answers, server.state.tasks) == (0, set())


async def test_a_thousand_requests_on_end_are_answered(server: Server) -> None:
    """However many a client sends without waiting, each is answered, one after the other."""
    wire = server.connect()
    wire.protocol.data_received(ASKED * 1000)
    for _ in range(1000):
        await settle()

    assert wire.answers == 1000
