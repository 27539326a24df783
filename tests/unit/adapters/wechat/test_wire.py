"""WeChat over a real connection, through the transport that the container builds: what only a socket can do wrong."""

import asyncio
import contextlib
import json
import logging
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr

from adapters.wechat.errcodes import WeChatBadResponse, WeChatUnavailable
from application.ports.identity_provider import IdentityProvider
from domain.errors import IdentityProviderBadResponse, IdentityProviderUnavailable
from domain.identity import LoginCode
from entrypoints.container import open_container
from entrypoints.settings import Settings

pytestmark = pytest.mark.anyio

LIMIT = 1.0
"""The time limit of a call in these tests, in seconds: a busy machine answers within it."""
GRACE = 2.0
"""What a busy machine may add to the time limit, in seconds."""

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Wire:
    """A server on a loopback port that does to each request what it was told, and keeps what was sent to it."""

    def __init__(self) -> None:
        self.port = 0
        self._open: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}
        self.reset()

    def reset(self) -> None:
        """Forget what was told and sent."""
        self.behaviours: list[Behaviour] = []
        self.requests: list[str] = []
        self.connections = 0

    async def open(self) -> None:
        """Listen, on the same port as before."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Listen no more, and wait for whoever is still connected to leave."""
        self._server.close()
        await asyncio.gather(*filter(None, self._open.values()))

    async def hang_up(self) -> None:
        """Close every connection, and give the client's side the time to see it."""
        if not self._open:
            return
        handlers = list(filter(None, self._open.values()))
        for writer in self._open:
            writer.close()
        await asyncio.gather(*handlers)
        await asyncio.sleep(0.05)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._open[writer] = asyncio.current_task()
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while not writer.is_closing():
                self.requests.append((await reader.readuntil(b"\r\n\r\n")).decode())
                await self.behaviours.pop(0)(reader, writer)
                await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        del self._open[writer]


def http(body: bytes, status: str = "200 OK", headers: str = "") -> bytes:
    """An answer as bytes."""
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body


def send(answer: bytes, *, hang_up: bool = False) -> Behaviour:
    """Send these bytes."""

    async def behave(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        if hang_up:
            writer.close()

    return behave


def good(login: Any) -> Behaviour:
    """Log in."""
    return send(http(json.dumps({"openid": "o1", "session_key": login.session_key}).encode()))


def flood(size: int) -> Behaviour:
    """Send an endless answer, as far as the client takes it."""

    async def behave(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode())
        for _ in range(size // 65536):
            writer.write(b" " * 65536)
            await writer.drain()
        raise AssertionError("the client read it all")

    return behave


async def stay_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer when the client has left."""
    await reader.read()
    writer.write(http(b'{"openid":"late","session_key":"late"}'))


def drip(start: bytes) -> Behaviour:
    """Send one byte every hundredth of a second until the client leaves."""

    async def behave(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        while not writer.is_closing():
            writer.write(b"a")
            await writer.drain()
            await asyncio.sleep(0.01)

    return behave


async def break_later(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send one good chunk, and when the client has it, one whose size is no number."""
    writer.write(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{"\r\n')
    await writer.drain()
    await asyncio.sleep(0.02)
    writer.write(b"zz\r\n")


HALF = http(b'{"openid":"o1","session_key":"k1"}')[:-10]

BROKEN = {
    "silence": stay_silent,
    "a body that drips": drip(b"HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n"),
    "headers that drip": drip(b"HTTP/1.1 200 OK\r\nX: "),
    "hanging up before the answer": send(b"", hang_up=True),
    "hanging up in the headers": send(b"HTTP/1.1 200 OK\r\nContent-Le", hang_up=True),
    "hanging up in the body": send(HALF, hang_up=True),
    "hanging up in a chunk": send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20\r\n{", hang_up=True),
    "garbage": send(b"\x00\x01\xffSSH-2.0-garbage\r\n\r\n", hang_up=True),
    "another protocol": send(b"220 mail.example ESMTP\r\n", hang_up=True),
    "a length that is no number": send(b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n", hang_up=True),
    "two lengths": send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}", hang_up=True),
    "a chunk size that is no number": send(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", hang_up=True
    ),
    "a later chunk size that is no number": break_later,
    "an endless header": send(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000 + b"\r\n\r\n", hang_up=True),
    "fifty megabytes": flood(50_000_000),
    "a body said to be gzip": send(http(b"{}", headers="Content-Encoding: gzip\r\n")),
    "a body said to be br": send(http(b"{}", headers="Content-Encoding: br\r\n")),
    "a redirect": send(http(b"", "302 Found", "Location: /sns/elsewhere\r\n")),
    "a server error": send(http(b"<html>", "502 Bad Gateway")),
    "a switch of protocols": send(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", hang_up=True
    ),
    "no content": send(b"HTTP/1.1 204 No Content\r\n\r\n"),
    "HTML": send(http(b"<html>welcome to the hotel's network</html>")),
}

broken = pytest.mark.parametrize("behaviour", [pytest.param(value, id=name) for name, value in BROKEN.items()])
connections = pytest.mark.parametrize("warm", [False, True], ids=["new connection", "used connection"])


@pytest.fixture(scope="module")
async def served(login: Any) -> AsyncIterator[tuple[Wire, IdentityProvider]]:
    """A WeChat that does what it is told, and the service's own IdentityProvider that asks it."""
    wire = Wire()
    await wire.open()
    settings = Settings(
        appid=login.appid.value,
        app_secret=SecretStr(login.secret),
        encryption_keys=[SecretStr(Fernet.generate_key().decode())],
        wechat_url=f"http://localhost:{wire.port}",
        wechat_timeout_seconds=LIMIT,
    )
    async with open_container(settings) as container:
        yield wire, container.identities()
    await wire.close()


@pytest.fixture
async def wire(served: tuple[Wire, IdentityProvider]) -> Wire:
    """The WeChat, without a connection and with nothing said."""
    wire, _ = served
    await wire.hang_up()
    wire.reset()
    return wire


@pytest.fixture
def identities(served: tuple[Wire, IdentityProvider]) -> IdentityProvider:
    """The service's own IdentityProvider."""
    return served[1]


@broken
@connections
async def test_a_broken_answer_is_an_error_in_time_after_one_request(
    behaviour: Behaviour, warm: bool, wire: Wire, identities: IdentityProvider, login: Any
) -> None:
    """Whatever goes wrong is WeChat's error within the time limit, and the code was sent exactly once."""
    if warm:
        wire.behaviours.append(good(login))
        await identities.exchange(login.code, login.appid)
        wire.requests.clear()
    wire.behaviours += [behaviour, good(login)]
    began = time.monotonic()

    with pytest.raises((IdentityProviderUnavailable, IdentityProviderBadResponse)) as raised:
        await identities.exchange(login.code, login.appid)
    assert type(raised.value) in (WeChatUnavailable, WeChatBadResponse)
    assert time.monotonic() - began < LIMIT + GRACE
    assert len(wire.requests) == 1


@broken
async def test_after_a_broken_answer_the_next_login_works(
    behaviour: Behaviour, wire: Wire, identities: IdentityProvider, login: Any
) -> None:
    """A connection that went wrong is not used again."""
    wire.behaviours.append(behaviour)
    with contextlib.suppress(Exception):
        await identities.exchange(login.code, login.appid)
    wire.behaviours = [good(login)]

    identity, key = await identities.exchange(LoginCode("next"), login.appid)
    assert (identity.openid, key.value) == ("o1", login.session_key)


@broken
async def test_a_broken_answer_gets_no_secret_told(
    behaviour: Behaviour,
    wire: Wire,
    identities: IdentityProvider,
    login: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """No text, traceback or log record has the AppSecret or the code, even when everything is logged."""
    caplog.set_level(logging.DEBUG)
    wire.behaviours += [behaviour, good(login)]
    with pytest.raises(Exception) as raised:  # noqa: PT011  # whatever comes, it has to keep the secret
        await identities.exchange(login.code, login.appid)
    error = raised.value
    told = "".join(traceback.format_exception(error)) + str(error) + repr(error) + repr(vars(error)) + caplog.text

    assert not [secret for secret in login.hidden if secret in told]


async def test_a_login_gets_no_secret_told(
    wire: Wire, identities: IdentityProvider, login: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Success is as silent: nothing of it is logged, and what comes back hides the key in its repr."""
    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)
    wire.behaviours.append(good(login))
    answer = await identities.exchange(login.code, login.appid)
    asyncio.get_running_loop().set_debug(False)

    assert not [secret for secret in login.hidden if secret in caplog.text + repr(answer) + repr(identities)]


@pytest.mark.parametrize("errcode", [-1, 40029, 40125, 99999])
async def test_an_error_of_wechats_is_asked_for_once(
    errcode: int, wire: Wire, identities: IdentityProvider, login: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """An errcode is believed at once, and a text of WeChat's that repeats our request is told to nobody."""
    caplog.set_level(logging.DEBUG)
    body = json.dumps({"errcode": errcode, "errmsg": f"bad {login.secret} {login.code.value}"}).encode()
    wire.behaviours += [send(http(body)), good(login)]

    with pytest.raises(Exception) as raised:  # noqa: PT011  # which one is another test's
        await identities.exchange(login.code, login.appid)
    told = "".join(traceback.format_exception(raised.value)) + caplog.text
    assert len(wire.requests) == 1
    assert not [secret for secret in login.hidden if secret in told]


async def test_a_refused_connection_is_wechat_being_unavailable(
    wire: Wire, identities: IdentityProvider, login: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody listening is wechat_unavailable, and no secret is told."""
    caplog.set_level(logging.DEBUG)
    await wire.close()

    with pytest.raises(IdentityProviderUnavailable) as raised:
        await identities.exchange(login.code, login.appid)
    told = "".join(traceback.format_exception(raised.value)) + caplog.text
    await wire.open()
    assert not [secret for secret in login.hidden if secret in told]


async def test_the_target_of_a_redirect_is_never_called(wire: Wire, identities: IdentityProvider, login: Any) -> None:
    """The AppSecret goes to the configured WeChat and to nobody that it names."""
    other = Wire()
    await other.open()
    other.behaviours.append(good(login))
    location = f"Location: http://127.0.0.1:{other.port}/sns/jscode2session\r\n"
    wire.behaviours.append(send(http(b"", "307 Temporary Redirect", location)))

    with pytest.raises(IdentityProviderBadResponse):
        await identities.exchange(login.code, login.appid)
    assert other.requests == []
    await other.close()


async def test_an_idle_connection_that_wechat_closed_is_replaced(
    wire: Wire, identities: IdentityProvider, login: Any
) -> None:
    """A login after a quiet hour works, although WeChat closed the connection meanwhile."""
    wire.behaviours += [good(login), good(login)]
    await identities.exchange(login.code, login.appid)
    await wire.hang_up()
    identity, _ = await identities.exchange(LoginCode("next"), login.appid)

    assert identity.openid == "o1"
    assert wire.connections == 2


async def test_a_connection_is_not_used_when_servers_may_close_it(
    wire: Wire, identities: IdentityProvider, login: Any
) -> None:
    """After more than four idle seconds a code is sent on a new connection: some servers close after five."""
    wire.behaviours += [good(login), good(login)]
    await identities.exchange(login.code, login.appid)
    await asyncio.sleep(4.2)
    await identities.exchange(LoginCode("next"), login.appid)

    assert wire.connections == 2


@pytest.mark.parametrize("code", ["a+b/c==", "%41%2B%", "&secret=x", "#?;,'\"", "~!@$^*()[]{}|\\<>`", "." * 512])
async def test_a_code_arrives_as_it_is(code: str, wire: Wire, identities: IdentityProvider, login: Any) -> None:
    """Whatever characters a code has, they are on the wire as they were, and so is the AppSecret."""
    wire.behaviours.append(good(login))
    await identities.exchange(LoginCode(code), login.appid)
    target = wire.requests[0].split(" ")[1]

    assert parse_qs(target.partition("?")[2], strict_parsing=True) == {
        "appid": [login.appid.value],
        "secret": [login.secret],
        "js_code": [code],
        "grant_type": ["authorization_code"],
    }


async def test_an_interim_answer_is_passed_over(wire: Wire, identities: IdentityProvider, login: Any) -> None:
    """Who announces an answer is given the time to send it, and the connection goes on."""
    hints = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    body = json.dumps({"openid": "o1", "session_key": login.session_key}).encode()
    wire.behaviours += [send(hints + http(body)), good(login)]
    identity, _ = await identities.exchange(login.code, login.appid)
    await identities.exchange(login.code, login.appid)

    assert (identity.openid, wire.connections) == ("o1", 1)


@pytest.mark.parametrize("head", ["HTTP/1.0 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"])
async def test_an_answer_may_end_with_its_connection(
    head: str, wire: Wire, identities: IdentityProvider, login: Any
) -> None:
    """An answer without a length is whole when the connection is closed, as an old proxy does it."""
    body = json.dumps({"openid": "o1", "session_key": login.session_key}).encode()
    wire.behaviours.append(send(head.encode() + body, hang_up=True))
    identity, _ = await identities.exchange(login.code, login.appid)

    assert identity.openid == "o1"


async def test_an_unsolicited_response_is_not_given_to_the_next_request(
    wire: Wire, identities: IdentityProvider, login: Any
) -> None:
    """A second answer to one request is nobody's: the next login asks on another connection."""
    other = http(json.dumps({"openid": "oOther", "session_key": login.session_key}).encode())
    body = json.dumps({"openid": "o1", "session_key": login.session_key}).encode()
    wire.behaviours.append(send(http(body) + other))
    first, _ = await identities.exchange(login.code, login.appid)
    await asyncio.sleep(0.05)
    wire.behaviours.append(good(login))
    second, _ = await identities.exchange(LoginCode("next"), login.appid)

    assert (first.openid, second.openid, wire.connections) == ("o1", "o1", 2)


async def test_logins_share_connections(wire: Wire, identities: IdentityProvider, login: Any) -> None:
    """Logins one after the other need one connection, and the next login needs no new handshake."""
    wire.behaviours += [good(login)] * 5
    for _ in range(5):
        await identities.exchange(login.code, login.appid)

    assert wire.connections == 1


async def test_no_cookie_of_wechats_is_kept(wire: Wire, identities: IdentityProvider, login: Any) -> None:
    """What one answer sets is not sent with the next user's request."""
    body = json.dumps({"openid": "o1", "session_key": login.session_key}).encode()
    wire.behaviours += [send(http(body, headers="Set-Cookie: user=1; Path=/\r\n")), good(login)]
    await identities.exchange(login.code, login.appid)
    await identities.exchange(login.code, login.appid)

    assert "cookie" not in wire.requests[1].lower()
