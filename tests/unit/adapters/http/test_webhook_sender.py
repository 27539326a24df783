"""Webhooks on the wire, to real receivers."""

import asyncio
import json
import socket
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from standardwebhooks import WebhookVerificationError

from adapters.http import webhook_sender as module
from adapters.http.webhook_sender import HttpWebhookSender, retry_after
from domain.event import SYSTEM, Event, EventType
from domain.webhook import WebhookEndpoint, WebhookReply
from support.clock import Clock
from support.sdks.node import NODE, SCRIPTS
from support.servers import free_port
from support.webhooks import OTHER_SECRET, SECRET, Received, Receiver, Reply, new_event, receiver

pytestmark = pytest.mark.anyio


def utc_now() -> datetime:
    """Return the real time, which receivers compare with that of the signature."""
    return datetime.now(UTC)


@asynccontextmanager
async def sender_to(*endpoints: WebhookEndpoint) -> AsyncIterator[HttpWebhookSender]:
    """Open a sender."""
    sender = HttpWebhookSender(list(endpoints))
    try:
        yield sender
    finally:
        await sender.aclose()


async def send(url: str, event: Event, *secrets: str, private: bool = True) -> WebhookReply:
    """Send an event, and return the response."""
    endpoint = WebhookEndpoint(url, secrets or (SECRET,), private)
    async with sender_to(endpoint) as sender:
        return await sender.send(endpoint, event, utc_now())


async def exchange(reply: Reply, event: Event | None = None) -> tuple[WebhookReply, Receiver]:
    """Send an event to a receiver that answers so."""
    with receiver(lambda _: reply) as running:
        return await send(running.url, event or new_event(utc_now())), running


async def test_a_message_is_verified_by_the_library_of_receivers() -> None:
    """The library verifies a message, which has the fields of its event, its type and its time, and no others."""
    event = new_event(utc_now())
    response, running = await exchange((204, {}), event)
    (got,) = running.received
    moment = event.time.isoformat().replace("+00:00", "Z")

    assert response == WebhookReply(204)
    assert got.path == "/hooks/a-secret-path"
    assert got.headers["content-type"] == "application/json"
    assert got.id == event.id
    assert got.verified() == {
        "type": "session.ended",
        "timestamp": moment,
        "data": {
            "id": event.id,
            "time": moment,
            "actor": "user",
            "user_id": "ann",
            "session_id": "5e55",
            "app": "wx0123456789abcdef",
            "ip": "203.0.113.7",
            "reason": "session_ended",
        },
    }


async def test_fields_without_a_value_are_left_out() -> None:
    """An event about nothing but itself has neither null nor empty fields."""
    bare = Event.of(EventType.KEY_REENCRYPTED, SYSTEM, utc_now())
    _, running = await exchange((200, {}), bare)

    assert set(running.received[0].verified()["data"]) == {"id", "time", "actor"}


async def test_every_secret_signs() -> None:
    """During a rotation, a receiver with the new secret and one with the old verify the same message."""
    with receiver() as running:
        await send(running.url, new_event(utc_now()), OTHER_SECRET, SECRET)
    (got,) = running.received

    assert got.verified(SECRET) == got.verified(OTHER_SECRET)
    with pytest.raises(WebhookVerificationError):
        got.verified("whsec_" + "A" * 32)


def read_by_node(secret: str, got: Received) -> object:
    """Return the body, verified by the library of Standard Webhooks on Node.js, or None."""
    command, given = [str(NODE), str(SCRIPTS / "webhook.mjs")], json.dumps([secret, got.headers, got.body.decode()])
    done = subprocess.run(command, input=given, text=True, capture_output=True, check=True)
    return json.loads(done.stdout)


async def test_a_message_is_verified_on_node() -> None:
    """The library on Node.js verifies a message by each secret, and refuses another secret."""
    with receiver() as running:
        await send(running.url, new_event(utc_now(), reason="用户注销"), OTHER_SECRET, SECRET)
    (got,) = running.received
    read = [read_by_node(secret, got) for secret in (SECRET, OTHER_SECRET, "whsec_" + "A" * 32)]

    assert read == [got.verified(), got.verified(), None]


async def test_a_repeat_has_the_same_id_and_body() -> None:
    """A repeated message has the id and the body of the first, and a timestamp of its own."""
    event = new_event(utc_now())
    with receiver() as running:
        endpoint = WebhookEndpoint(running.url, (SECRET,), private=True)
        async with sender_to(endpoint) as sender:
            for seconds in (0, 60):
                await sender.send(endpoint, event, utc_now() + timedelta(seconds=seconds))
    first, second = running.received

    assert (first.id, first.body) == (second.id, second.body)
    assert int(second.headers["webhook-timestamp"]) - int(first.headers["webhook-timestamp"]) >= 60
    assert first.verified() == second.verified()


async def test_a_redirect_is_not_followed() -> None:
    """A redirect is the response, and its target gets nothing."""
    with receiver() as target:
        response, _ = await exchange((307, {"location": target.url}))

    assert response.status == 307
    assert target.received == []


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message goes to its receiver, whatever proxy the environment names."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    response, _ = await exchange((204, {}))

    assert response == WebhookReply(204)


async def test_a_cookie_is_not_kept() -> None:
    """A cookie that a receiver sets is not sent to it."""
    with receiver(lambda _: (204, {"set-cookie": "a=b"})) as running:
        endpoint = WebhookEndpoint(running.url, (SECRET,), private=True)
        async with sender_to(endpoint) as sender:
            for _ in range(2):
                await sender.send(endpoint, new_event(utc_now()), utc_now())

    assert [got.headers.get("cookie") for got in running.received] == [None, None]


class Resolver(AbstractResolver):
    """A resolver for which every name has these addresses."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses."""
        return [
            ResolveResult(hostname=host, host=each, port=port, family=socket.AF_INET, proto=0, flags=0)
            for each in self._addresses
        ]

    async def close(self) -> None:
        """Do nothing."""


@pytest.mark.parametrize("addresses", [("127.0.0.1",), ("127.0.0.1", "10.0.0.1"), ("169.254.169.254",)])
async def test_a_public_name_with_a_private_address_is_refused(addresses: tuple[str, ...]) -> None:
    """A name that resolves to addresses that are not public gets no connection, whatever it is called."""
    connections: list[object] = []
    server = await asyncio.start_server(lambda *streams: connections.append(streams), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    endpoint = WebhookEndpoint(f"https://hooks.example.com:{port}/", (SECRET,))
    sender = HttpWebhookSender([endpoint], create_resolver=lambda: Resolver(*addresses))
    response = await sender.send(endpoint, new_event(utc_now()), utc_now())
    await sender.aclose()
    server.close()
    await server.wait_closed()

    assert response == WebhookReply(None, cause="AddressRefused")
    assert connections == []


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost", "0x7f000001", "[::ffff:127.0.0.1]"])
async def test_an_address_of_this_machine_is_refused(host: str) -> None:
    """An address of this machine in any notation is refused without the setting."""
    response = await send(f"https://{host}:{free_port()}/", new_event(utc_now()), private=False)

    assert response == WebhookReply(None, cause="AddressRefused")


async def test_http_is_not_sent_to_a_public_address() -> None:
    """An endpoint with http that resolves to a public address is refused, also with the setting."""
    endpoint = WebhookEndpoint("http://hooks.internal/", (SECRET,), private=True)
    sender = HttpWebhookSender([endpoint], create_resolver=lambda: Resolver("93.184.216.34"))
    response = await sender.send(endpoint, new_event(utc_now()), utc_now())
    await sender.aclose()

    assert response == WebhookReply(None, cause="AddressRefused")


async def speaking(speak: Callable[[asyncio.StreamWriter], None]) -> WebhookReply:
    """Send an event to a server that answers with raw bytes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        speak(writer)
        await reader.read()  # until the sender closes
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    response = await send(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", new_event(utc_now()))
    server.close()
    return response


async def test_a_silent_receiver_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A receiver that does not answer, or never ends its response, is a timeout."""
    monkeypatch.setattr(module, "CALL_SECONDS", 0.3)
    silent = await speaking(lambda _: None)
    endless = await speaking(lambda writer: writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"))

    assert silent == endless == WebhookReply(None, cause="timeout")


async def test_a_large_response_is_not_read_to_its_end() -> None:
    """Of a response that is too large, the status counts, and the connection is closed."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n"

    assert await speaking(lambda writer: writer.write(head + b"x" * 200_000)) == WebhookReply(200)


@pytest.mark.parametrize(
    "raw",
    [b"nonsense\r\n\r\n", b"HTTP/1.1 banana\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 99_999],
    ids=["text", "status", "header"],
)
async def test_nonsense_is_no_response(raw: bytes) -> None:
    """A response that is not HTTP is a failure with its kind as the cause."""

    def speak(writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        writer.write_eof()

    response = await speaking(speak)

    assert response.status is None
    assert response.cause


async def test_a_reason_phrase_in_another_encoding_is_ignored() -> None:
    """The status of a response counts, whatever bytes its reason phrase has: here it is in GBK."""
    line = b"HTTP/1.1 204 " + "成功".encode("gbk") + b"\r\n\r\n"

    assert await speaking(lambda writer: writer.write(line)) == WebhookReply(204)


class BrokenResolver(Resolver):
    """A resolver with a defect."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Raise an exception that no library documents."""
        raise LookupError(f"secret of {host}")


async def test_an_unexpected_exception_is_a_failure() -> None:
    """An exception of any kind is a failure, whose cause is its kind, and not its text."""
    endpoint = WebhookEndpoint("http://hooks.internal/", (SECRET,), private=True)
    sender = HttpWebhookSender([endpoint], create_resolver=BrokenResolver)
    response = await sender.send(endpoint, new_event(utc_now()), utc_now())
    await sender.aclose()

    assert response == WebhookReply(None, cause="LookupError")


async def test_a_receiver_that_is_away_is_a_failure() -> None:
    """A refused connection is a failure, whose cause does not have the URL."""
    response = await send(f"http://127.0.0.1:{free_port()}/secret-path", new_event(utc_now()))

    assert response == WebhookReply(None, cause="ConnectionRefusedError")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120), (" 7 ", 7), ("0", 0), ("9" * 5000, 10**8), ("", None), ("soon", None), ("-5", None),
        ("1.5", None), ("²", None), ("Wed, 21 Oct 2015 07:28:00 GMT", 0), ("Wed, 21 Oct 9999999 07:28:00 GMT", None),
    ],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date(value: str, seconds: int | None, clock: Clock) -> None:
    """Retry-After is read as seconds, or as a date of which one in the past means now. Anything else is ignored."""
    expected = None if seconds is None else timedelta(seconds=seconds)

    assert retry_after({"retry-after": value}, clock.now) == expected


def test_retry_after_has_a_date_of_http(clock: Clock) -> None:
    """A date is the time until then."""
    moment = datetime(2099, 10, 21, 7, 28, tzinfo=UTC)

    assert retry_after({"retry-after": "Wed, 21 Oct 2099 07:28:00 GMT"}, moment - timedelta(seconds=90)) == timedelta(
        seconds=90
    )


async def test_the_body_is_json_without_spaces() -> None:
    """The body is compact JSON in UTF-8."""
    event = new_event(utc_now(), reason="用户注销")
    _, running = await exchange((204, {}), event)
    body = running.received[0].body

    assert body == json.dumps(json.loads(body), ensure_ascii=False, separators=(",", ":")).encode()
