"""The sandbox pushes events as WeChat does."""

import json
import threading
from base64 import b64decode
from collections.abc import Iterator
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from xml.etree import ElementTree as ET

import httpx2
import pytest
from wechatpy.crypto import WeChatCrypto

from support.pushes import AES_KEY, TOKEN, signature
from support.servers import free_port

pytestmark = pytest.mark.anyio

APPID = "wx0123456789abcdef"


class Server:
    """A server that records what it is sent, and answers with `answer`."""

    def __init__(self) -> None:
        self.query: dict[str, str] = {}
        self.body = b""
        self.headers: dict[str, str] = {}
        self.answer: tuple[int, bytes] | None = (200, b"success")
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                server.query = dict(parse_qsl(urlsplit(self.path).query))
                server.headers = {name.lower(): text for name, text in self.headers.items()}
                server.body = self.rfile.read(int(self.headers.get("content-length", 0)))
                status, body = server.answer or (200, server.query.get("echostr", "").encode())
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Location", "/elsewhere")
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST  # noqa: N815  # a method of the standard library

            def log_message(self, *_: object) -> None:
                """Print nothing."""

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/push"

    def fields(self) -> dict[str, Any]:
        """Return the fields of the body, of either format."""
        if self.body[:1] == b"{":
            return dict(json.loads(self.body))
        return {child.tag: child.text for child in ET.fromstring(self.body)}  # noqa: S314  # of the sandbox


@pytest.fixture
def server() -> Iterator[Server]:
    """A running server."""
    running = Server()
    thread = threading.Thread(target=running.http.serve_forever)
    thread.start()
    yield running
    running.http.shutdown()
    running.http.server_close()
    thread.join()


async def push(client: httpx2.AsyncClient, server: Server, **more: object) -> dict[str, Any]:
    """Push a revocation, and return what the sandbox says."""
    order = {"appid": APPID, "event": "user_authorization_revoke", "openid": "oAnn", "revoke_info": 8}
    given = {**order, "url": server.url, "token": TOKEN, "aes_key": AES_KEY, **more}
    answer = await client.post("/sandbox/events", json=given)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


@pytest.mark.parametrize("form", ["xml", "json"])
async def test_a_plain_push_is_signed(client: httpx2.AsyncClient, server: Server, form: str) -> None:
    """A plain push has the signature of Token, timestamp and nonce, and the fields of WeChat's page."""
    pushed = await push(client, server, format=form)
    fields, query = server.fields(), server.query

    assert (pushed["accepted"], pushed["status"], pushed["body"]) == (True, 200, "success")
    assert query["signature"] == signature(TOKEN, query["timestamp"], query["nonce"])
    assert "msg_signature" not in query
    assert server.headers["content-type"] == f"text/{form}"
    assert (fields["Event"], fields["OpenID"], fields["AppID"], fields["RevokeInfo"]) == (
        "user_authorization_revoke",
        "oAnn",
        APPID,
        "8",
    )
    assert fields["FromUserName"] != "oAnn"


@pytest.mark.parametrize("form", ["xml", "json"])
@pytest.mark.parametrize("mode", ["compatible", "safe"])
async def test_an_encrypted_push_can_be_read_by_a_peer(
    client: httpx2.AsyncClient, server: Server, mode: str, form: str
) -> None:
    """What the sandbox encrypts and signs, wechatpy accepts. Only compatible mode has the clear fields beside it."""
    await push(client, server, mode=mode, format=form)
    fields, query = server.fields(), server.query
    peer = WeChatCrypto(TOKEN, AES_KEY, APPID)
    message = peer.decrypt_message(fields, query["msg_signature"], query["timestamp"], query["nonce"])

    assert query["encrypt_type"] == "aes"
    assert "user_authorization_revoke" in message
    assert ("Event" in fields) == (mode == "compatible")
    assert len(b64decode(fields["Encrypt"])) % 32 == 0


async def test_times_and_fields_can_be_given(client: httpx2.AsyncClient, server: Server) -> None:
    """The time of the event, the signed time, and more fields can be chosen."""
    more = {"Content": "]]><b>", "MsgId": 7}
    await push(client, server, create_time=1, timestamp=2, fields=more)

    assert (server.fields()["CreateTime"], server.query["timestamp"]) == ("1", "2")
    assert (server.fields()["Content"], server.fields()["MsgId"]) == ("]]><b>", "7")


async def test_the_sandboxs_clock_is_the_time_of_a_push(client: httpx2.AsyncClient, server: Server) -> None:
    """A push has the time of the sandbox's clock."""
    now = (await client.post("/sandbox/clock", json={"advance_seconds": 86400 * 365})).json()["now"]
    await push(client, server)

    assert server.query["timestamp"] == server.fields()["CreateTime"]
    assert abs(int(server.query["timestamp"]) - datetime.fromisoformat(now).timestamp()) < 600


@pytest.mark.parametrize(
    ("answer", "accepted"),
    [((200, b""), True), ((200, b"SUCCESS?"), False), ((302, b""), False), ((403, b"refused"), False)],
)
async def test_only_success_is_accepted(
    client: httpx2.AsyncClient, server: Server, answer: tuple[int, bytes], accepted: bool
) -> None:
    """An empty answer and `success` are accepted, and nothing else. A redirect is not followed."""
    server.answer = answer
    pushed = await push(client, server)

    assert (pushed["accepted"], pushed["status"], pushed["body"]) == (accepted, answer[0], answer[1].decode())


async def test_a_server_that_is_away_is_no_error(client: httpx2.AsyncClient, server: Server) -> None:
    """A server that does not answer is reported as such."""
    pushed = await push(client, server, url=f"http://127.0.0.1:{free_port()}/")

    assert (pushed["accepted"], pushed["status"]) == (False, None)
    assert pushed["body"] == "no answer: ConnectionRefusedError"


async def test_an_address_is_checked(client: httpx2.AsyncClient, server: Server) -> None:
    """The check of an address passes if the answer is the echostr."""
    order = {"url": server.url, "token": TOKEN}
    server.answer = None
    passed = (await client.post("/sandbox/push-checks", json=order)).json()
    query = server.query
    server.answer = (200, b"success")
    failed = (await client.post("/sandbox/push-checks", json=order)).json()

    assert query["signature"] == signature(TOKEN, query["timestamp"], query["nonce"])
    assert (passed["accepted"], passed["body"]) == (True, query["echostr"])
    assert not failed["accepted"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "ftp://127.0.0.1/"},
        {"url": "http://"},
        {"url": "http://127.0.0.1/?a=1"},
        {"mode": "safe", "aes_key": None},
        {"mode": "safe", "aes_key": "short"},
        {"mode": "other"},
        {"format": "yaml"},
        {"token": ""},
    ],
    ids=str,
)
async def test_what_cannot_be_sent_is_refused(
    client: httpx2.AsyncClient, server: Server, wrong: dict[str, object]
) -> None:
    """An order that WeChat could not carry out is 400, and says why."""
    order = {"appid": APPID, "event": "x", "url": server.url, "token": TOKEN, "aes_key": AES_KEY, **wrong}
    answer = await client.post("/sandbox/events", json=order)

    assert answer.status_code == 400
    assert answer.json()["detail"]
    assert server.body == b""
