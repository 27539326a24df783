"""WeChat over a real connection, with the transport of the container: errors that only a socket can cause."""

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
"""The time limit of a call in these tests, in seconds. A busy machine answers within it."""
GRACE = 2.0
"""The time that a busy machine may add to the limit, in seconds."""

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class BrokenServer:
    """A server on a loopback port that treats each request as the test sets, and records the requests."""

    def __init__(self) -> None:
        self.port = 0
        self._open: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}
        self.reset()

    def reset(self) -> None:
        """Clear the settings and the records."""
        self.behaviours: list[Behaviour] = []
        self.requests: list[str] = []
        self.connections = 0

    async def open(self) -> None:
        """Listen, on the same port as before."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening, and wait until all clients have disconnected."""
        self._server.close()
        await asyncio.gather(*filter(None, self._open.values()))

    async def disconnect(self) -> None:
        """Close every connection, and wait until the client's side notices."""
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
    """Return an answer as bytes."""
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body


def send(answer: bytes, *, disconnect: bool = False) -> Behaviour:
    """Return a behaviour that sends these bytes."""

    async def behave(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        if disconnect:
            writer.close()

    return behave


def good(login: Any) -> Behaviour:
    """Return a behaviour that answers with a successful login."""
    return send(http(json.dumps({"openid": "o1", "session_key": login.session_key}).encode()))


def flood(size: int) -> Behaviour:
    """Return a behaviour that sends an endless answer, as far as the client reads it."""

    async def behave(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode())
        for _ in range(size // 65536):
            writer.write(b" " * 65536)
            await writer.drain()
        raise AssertionError("the client read it all")

    return behave


async def stay_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """JsonObject only after the client has left."""
    await reader.read()
    writer.write(http(b'{"openid":"late","session_key":"late"}'))


def drip(start: bytes) -> Behaviour:
    """Return a behaviour that sends one byte every hundredth of a second until the client leaves."""

    async def behave(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        while not writer.is_closing():
            writer.write(b"a")
            await writer.drain()
            await asyncio.sleep(0.01)

    return behave


async def break_later(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send one valid chunk, and later a chunk with a malformed size."""
    writer.write(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{"\r\n')
    await writer.drain()
    await asyncio.sleep(0.02)
    writer.write(b"zz\r\n")


HALF = http(b'{"openid":"o1","session_key":"k1"}')[:-10]

BROKEN = {
    "silence": stay_silent,
    "a body that drips": drip(b"HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n"),
    "headers that drip": drip(b"HTTP/1.1 200 OK\r\nX: "),
    "hanging up before the answer": send(b"", disconnect=True),
    "hanging up in the headers": send(b"HTTP/1.1 200 OK\r\nContent-Le", disconnect=True),
    "hanging up in the body": send(HALF, disconnect=True),
    "hanging up in a chunk": send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20\r\n{", disconnect=True),
    "garbage": send(b"\x00\x01\xffSSH-2.0-garbage\r\n\r\n", disconnect=True),
    "another protocol": send(b"220 mail.example ESMTP\r\n", disconnect=True),
    "a length that is no number": send(b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n", disconnect=True),
    "two lengths": send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}", disconnect=True),
    "a chunk size that is no number": send(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", disconnect=True
    ),
    "a later chunk size that is no number": break_later,
    "an endless header": send(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000 + b"\r\n\r\n", disconnect=True),
    "fifty megabytes": flood(50_000_000),
    "a body said to be gzip": send(http(b"{}", headers="Content-Encoding: gzip\r\n")),
    "a body said to be br": send(http(b"{}", headers="Content-Encoding: br\r\n")),
    "a redirect": send(http(b"", "302 Found", "Location: /sns/elsewhere\r\n")),
    "a server error": send(http(b"<html>", "502 Bad Gateway")),
    "a switch of protocols": send(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", disconnect=True
    ),
    "no content": send(b"HTTP/1.1 204 No Content\r\n\r\n"),
    "HTML": send(http(b"<html>welcome to the hotel's network</html>")),
}

broken = pytest.mark.parametrize("behaviour", [pytest.param(value, id=name) for name, value in BROKEN.items()])
connections = pytest.mark.parametrize("warm", [False, True], ids=["new connection", "used connection"])


@pytest.fixture(scope="module")
async def served(login: Any) -> AsyncIterator[tuple[BrokenServer, IdentityProvider]]:
    """A WeChat with behaviours that a test sets, and the service's IdentityProvider that calls it."""
    server = BrokenServer()
    await server.open()
    settings = Settings(
        appid=login.appid.value,
        app_secret=SecretStr(login.secret),
        encryption_keys=[SecretStr(Fernet.generate_key().decode())],
        wechat_url=f"http://localhost:{server.port}",
        wechat_timeout_seconds=LIMIT,
    )
    async with open_container(settings) as container:
        yield server, container.identities()
    await server.close()


@pytest.fixture
async def server(served: tuple[BrokenServer, IdentityProvider]) -> BrokenServer:
    """The WeChat without connections and settings."""
    server, _ = served
    await server.disconnect()
    server.reset()
    return server


@pytest.fixture
def identities(served: tuple[BrokenServer, IdentityProvider]) -> IdentityProvider:
    """The service's IdentityProvider."""
    return served[1]


@broken
@connections
async def test_a_broken_answer_raises_an_error_in_time_after_one_request(
    behaviour: Behaviour, warm: bool, server: BrokenServer, identities: IdentityProvider, login: Any
) -> None:
    """A broken answer raises an error of WeChat within the time limit, and the code is sent exactly once."""
    if warm:
        server.behaviours.append(good(login))
        await identities.exchange(login.code, login.appid)
        server.requests.clear()
    server.behaviours += [behaviour, good(login)]
    began = time.monotonic()

    with pytest.raises((IdentityProviderUnavailable, IdentityProviderBadResponse)) as raised:
        await identities.exchange(login.code, login.appid)
    assert type(raised.value) in (WeChatUnavailable, WeChatBadResponse)
    assert time.monotonic() - began < LIMIT + GRACE
    assert len(server.requests) == 1


@broken
async def test_after_a_broken_answer_the_next_login_works(
    behaviour: Behaviour, server: BrokenServer, identities: IdentityProvider, login: Any
) -> None:
    """After a broken answer, the next login succeeds on another connection."""
    server.behaviours.append(behaviour)
    with contextlib.suppress(Exception):
        await identities.exchange(login.code, login.appid)
    server.behaviours = [good(login)]

    identity, key = await identities.exchange(LoginCode("next"), login.appid)
    assert (identity.openid, key.value) == ("o1", login.session_key)


@broken
async def test_a_broken_answer_reveals_no_secret(
    behaviour: Behaviour,
    server: BrokenServer,
    identities: IdentityProvider,
    login: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """After a broken answer, no text, traceback or log record has the AppSecret or the code. The log level is debug."""
    caplog.set_level(logging.DEBUG)
    server.behaviours += [behaviour, good(login)]
    with pytest.raises(Exception) as raised:  # noqa: PT011  # no exception may show a secret
        await identities.exchange(login.code, login.appid)
    error = raised.value
    told = "".join(traceback.format_exception(error)) + str(error) + repr(error) + repr(vars(error)) + caplog.text

    assert not [secret for secret in login.hidden if secret in told]


async def test_a_login_reveals_no_secret(
    server: BrokenServer, identities: IdentityProvider, login: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A successful login logs no secret, and the repr of its result has none."""
    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)
    server.behaviours.append(good(login))
    answer = await identities.exchange(login.code, login.appid)
    asyncio.get_running_loop().set_debug(False)

    assert not [secret for secret in login.hidden if secret in caplog.text + repr(answer) + repr(identities)]


@pytest.mark.parametrize("errcode", [-1, 40029, 40125, 99999])
async def test_an_errcode_is_raised_after_one_request(
    errcode: int, server: BrokenServer, identities: IdentityProvider, login: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """An errcode is raised after one request, and WeChat's text with a repetition of the request is not revealed."""
    caplog.set_level(logging.DEBUG)
    body = json.dumps({"errcode": errcode, "errmsg": f"bad {login.secret} {login.code.value}"}).encode()
    server.behaviours += [send(http(body)), good(login)]

    with pytest.raises(Exception) as raised:  # noqa: PT011  # another test checks the type
        await identities.exchange(login.code, login.appid)
    told = "".join(traceback.format_exception(raised.value)) + caplog.text
    assert len(server.requests) == 1
    assert not [secret for secret in login.hidden if secret in told]


async def test_a_refused_connection_is_unavailable(
    server: BrokenServer, identities: IdentityProvider, login: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A refused connection raises IdentityProviderUnavailable, and reveals no secret."""
    caplog.set_level(logging.DEBUG)
    await server.close()

    with pytest.raises(IdentityProviderUnavailable) as raised:
        await identities.exchange(login.code, login.appid)
    told = "".join(traceback.format_exception(raised.value)) + caplog.text
    await server.open()
    assert not [secret for secret in login.hidden if secret in told]


async def test_the_target_of_a_redirect_is_never_called(
    server: BrokenServer, identities: IdentityProvider, login: Any
) -> None:
    """The target of a redirect gets no request and so no AppSecret."""
    other = BrokenServer()
    await other.open()
    other.behaviours.append(good(login))
    location = f"Location: http://127.0.0.1:{other.port}/sns/jscode2session\r\n"
    server.behaviours.append(send(http(b"", "307 Temporary Redirect", location)))

    with pytest.raises(IdentityProviderBadResponse):
        await identities.exchange(login.code, login.appid)
    assert other.requests == []
    await other.close()


async def test_an_idle_connection_that_wechat_closed_is_replaced(
    server: BrokenServer, identities: IdentityProvider, login: Any
) -> None:
    """A login succeeds after WeChat has closed the idle connection."""
    server.behaviours += [good(login), good(login)]
    await identities.exchange(login.code, login.appid)
    await server.disconnect()
    identity, _ = await identities.exchange(LoginCode("next"), login.appid)

    assert identity.openid == "o1"
    assert server.connections == 2


async def test_a_connection_is_not_used_when_servers_may_close_it(
    server: BrokenServer, identities: IdentityProvider, login: Any
) -> None:
    """After more than four idle seconds a new connection is used, because some servers close after five."""
    server.behaviours += [good(login), good(login)]
    await identities.exchange(login.code, login.appid)
    await asyncio.sleep(4.2)
    await identities.exchange(LoginCode("next"), login.appid)

    assert server.connections == 2


@pytest.mark.parametrize("code", ["a+b/c==", "%41%2B%", "&secret=x", "#?;,'\"", "~!@$^*()[]{}|\\<>`", "." * 512])
async def test_a_code_arrives_unchanged(
    code: str, server: BrokenServer, identities: IdentityProvider, login: Any
) -> None:
    """A code with any characters, and the AppSecret, arrive unchanged."""
    server.behaviours.append(good(login))
    await identities.exchange(LoginCode(code), login.appid)
    target = server.requests[0].split(" ")[1]

    assert parse_qs(target.partition("?")[2], strict_parsing=True) == {
        "appid": [login.appid.value],
        "secret": [login.secret],
        "js_code": [code],
        "grant_type": ["authorization_code"],
    }


async def test_an_interim_answer_is_skipped(server: BrokenServer, identities: IdentityProvider, login: Any) -> None:
    """Interim answers are skipped, and the connection is used again."""
    hints = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    body = json.dumps({"openid": "o1", "session_key": login.session_key}).encode()
    server.behaviours += [send(hints + http(body)), good(login)]
    identity, _ = await identities.exchange(login.code, login.appid)
    await identities.exchange(login.code, login.appid)

    assert (identity.openid, server.connections) == ("o1", 1)


async def test_a_reason_phrase_in_another_encoding_is_ignored(
    server: BrokenServer, identities: IdentityProvider, login: Any
) -> None:
    """The status of an answer counts, whatever bytes its reason phrase has: here it is in GBK, by a proxy."""
    body = json.dumps({"openid": "o1", "session_key": login.session_key}).encode()
    server.behaviours.append(send(http(body).replace(b" OK\r\n", b" " + "成功".encode("gbk") + b"\r\n", 1)))
    identity, _ = await identities.exchange(login.code, login.appid)

    assert identity.openid == "o1"


@pytest.mark.parametrize("head", ["HTTP/1.0 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"])
async def test_an_answer_may_end_with_its_connection(
    head: str, server: BrokenServer, identities: IdentityProvider, login: Any
) -> None:
    """An answer without a length ends with its connection, as old proxies send it."""
    body = json.dumps({"openid": "o1", "session_key": login.session_key}).encode()
    server.behaviours.append(send(head.encode() + body, disconnect=True))
    identity, _ = await identities.exchange(login.code, login.appid)

    assert identity.openid == "o1"


async def test_an_unsolicited_response_is_not_given_to_the_next_request(
    server: BrokenServer, identities: IdentityProvider, login: Any
) -> None:
    """A second answer to one request is discarded, and the next login uses another connection."""
    other = http(json.dumps({"openid": "oOther", "session_key": login.session_key}).encode())
    body = json.dumps({"openid": "o1", "session_key": login.session_key}).encode()
    server.behaviours.append(send(http(body) + other))
    first, _ = await identities.exchange(login.code, login.appid)
    await asyncio.sleep(0.05)
    server.behaviours.append(good(login))
    second, _ = await identities.exchange(LoginCode("next"), login.appid)

    assert (first.openid, second.openid, server.connections) == ("o1", "o1", 2)


async def test_logins_share_connections(server: BrokenServer, identities: IdentityProvider, login: Any) -> None:
    """Sequential logins use one connection."""
    server.behaviours += [good(login)] * 5
    for _ in range(5):
        await identities.exchange(login.code, login.appid)

    assert server.connections == 1


async def test_no_cookie_of_wechat_is_stored(server: BrokenServer, identities: IdentityProvider, login: Any) -> None:
    """A cookie in an answer is not sent with the next request."""
    body = json.dumps({"openid": "o1", "session_key": login.session_key}).encode()
    server.behaviours += [send(http(body, headers="Set-Cookie: user=1; Path=/\r\n")), good(login)]
    await identities.exchange(login.code, login.appid)
    await identities.exchange(login.code, login.appid)

    assert "cookie" not in server.requests[1].lower()
