"""Forwarding pushes: what counts as accepted, and what every failure becomes."""

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest

from adapters.wechat import push_forwarder as module
from adapters.wechat.api import create_transport
from adapters.wechat.push_forwarder import WeChatPushForwarder
from domain.push import PushNotForwarded, RawPush
from support.servers import free_port

pytestmark = pytest.mark.anyio

PUSH = RawPush("a=1", b"x", "text/xml")


@pytest.fixture
async def transport() -> AsyncIterator[httpx2.AsyncBaseTransport]:
    """The transport of the container."""
    async with create_transport() as opened:
        yield opened


async def forward(transport: httpx2.AsyncBaseTransport, answer: bytes) -> None:
    """Forward a push to a server that answers with raw bytes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await reader.read()  # until the forwarder closes
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    try:
        await WeChatPushForwarder(transport, url).forward(PUSH)
    finally:
        server.close()


async def test_a_reason_phrase_in_another_encoding_is_ignored(transport: httpx2.AsyncBaseTransport) -> None:
    """The status of a response counts, whatever bytes its reason phrase has: here it is in GBK."""
    phrase = "成功".encode("gbk")
    await forward(transport, b"HTTP/1.1 204 " + phrase + b"\r\n\r\n")
    with pytest.raises(PushNotForwarded, match="HTTP status 500"):
        await forward(transport, b"HTTP/1.1 500 " + phrase + b"\r\nContent-Length: 0\r\n\r\n")


async def test_a_receiver_that_is_away_or_silent_does_not_accept(
    transport: httpx2.AsyncBaseTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refused connection, and a time limit that is over, are PushNotForwarded without the URL."""
    monkeypatch.setattr(module, "FORWARD_SECONDS", 0.2)
    with pytest.raises(PushNotForwarded, match=r"^no answer within 0\.2 seconds$"):
        await forward(transport, b"")
    with pytest.raises(PushNotForwarded, match=r"^ClientConnectorError$"):
        await WeChatPushForwarder(transport, f"http://127.0.0.1:{free_port()}/secret").forward(PUSH)


class Broken(httpx2.AsyncBaseTransport):
    """A transport with a defect."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Raise an exception that no library documents."""
        raise LookupError(f"secret of {request.url}")


async def test_an_unexpected_exception_does_not_accept() -> None:
    """An exception of any kind is PushNotForwarded with its kind, and not its text."""
    with pytest.raises(PushNotForwarded, match=r"^LookupError$") as raised:
        await WeChatPushForwarder(Broken(), "http://hooks.internal/").forward(PUSH)

    assert raised.value.__suppress_context__
