"""Message push: events that WeChat sends to a server.

https://developers.weixin.qq.com/miniprogram/dev/framework/server-ability/message-push.html
"""

import http.client
import json
import re
import secrets
import time
from base64 import b64decode, b64encode
from collections.abc import Mapping
from hashlib import sha1
from typing import Annotated, Literal
from urllib.parse import urlencode, urlsplit

import msgspec
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7

from wechat_sandbox.errors import ControlRefused
from wechat_sandbox.orders import Id

TIMEOUT_SECONDS = 5.0
"""How long WeChat waits for an answer."""

MAX_ANSWER_BYTES = 4096

PLATFORM = "oSandboxPlatform000000000000"
"""The FromUserName of an event: the sender is WeChat, and the user is the OpenID."""

Fields = Mapping[str, str | int]


class PushOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An event, and where it goes.

    - `token` and `aes_key` are what both sides know: the Token and the EncodingAESKey of the WeChat console. The modes
      `safe` and `compatible` need `aes_key`.
    - `create_time` is the time of the event, by default now. `timestamp` is the signed time of the request.
    - `fields` are more fields of the event.
    """

    appid: Id
    event: Id
    url: str
    token: Id
    openid: Id | None = None
    revoke_info: Annotated[str, msgspec.Meta(max_length=64)] | int | None = None
    mode: Literal["plain", "compatible", "safe"] = "plain"
    format: Literal["xml", "json"] = "xml"
    aes_key: str | None = None
    create_time: int | None = None
    timestamp: int | None = None
    fields: dict[str, str | int] = {}

    def __post_init__(self) -> None:
        """Raise ControlRefused for what cannot be sent."""
        require_url(self.url)
        if self.mode != "plain" and not re.fullmatch(r"[A-Za-z0-9]{43}", self.aes_key or ""):
            raise ControlRefused(f"mode {self.mode} needs aes_key, an EncodingAESKey of 43 letters and digits")


class PushCheck(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The address that the WeChat console checks, and its Token."""

    url: str
    token: Id
    timestamp: int | None = None

    def __post_init__(self) -> None:
        """Raise ControlRefused for what cannot be sent."""
        require_url(self.url)


class PushAnswer(msgspec.Struct, frozen=True):
    """How the server answered. Unless `accepted`, WeChat reports an error or sends the event again."""

    accepted: bool
    status: int | None
    body: str
    seconds: float


def require_url(url: str) -> None:
    """Raise ControlRefused for a URL that is not of http or https."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ControlRefused("url should be that of a server, such as http://127.0.0.1:8000/wechat/push/wx…")


def push(order: PushOrder, now: float) -> PushAnswer:
    """Send the event once, and return the answer."""
    given = order.create_time if order.create_time is not None else int(now)
    sender: Fields = {"ToUserName": "gh_sandbox", "FromUserName": PLATFORM, "CreateTime": given, "MsgType": "event"}
    user: Fields = {"OpenID": order.openid, "AppID": order.appid} if order.openid else {}
    revoked: Fields = {} if order.revoke_info is None else {"RevokeInfo": str(order.revoke_info)}
    fields = {**sender, "Event": order.event, **user, **revoked, **order.fields}
    query = _signed(order.token, order.timestamp if order.timestamp is not None else int(now))
    if order.mode != "plain" and order.aes_key:
        message = render(fields, order.format)
        encrypted = encrypt(message, order.aes_key, order.appid)
        query |= {
            "openid": order.openid or PLATFORM,
            "encrypt_type": "aes",
            "msg_signature": sign(order.token, query["timestamp"], query["nonce"], encrypted),
        }
        clear = fields if order.mode == "compatible" else {"ToUserName": "gh_sandbox"}
        fields = {**clear, "Encrypt": encrypted}
    answer = _send("POST", f"{order.url}?{urlencode(query)}", render(fields, order.format), f"text/{order.format}")
    return msgspec.structs.replace(answer, accepted=answer.status == 200 and answer.body in ("", "success"))


def check(order: PushCheck, now: float) -> PushAnswer:
    """Do what the WeChat console does when an address is entered: send an echostr, and expect it back."""
    echo = str(secrets.randbelow(10**19))
    query = _signed(order.token, order.timestamp if order.timestamp is not None else int(now)) | {"echostr": echo}
    answer = _send("GET", f"{order.url}?{urlencode(query)}")
    return msgspec.structs.replace(answer, accepted=answer.status == 200 and answer.body == echo)


def sign(*parts: str) -> str:
    """Return the signature of the parts: hex SHA-1 of them, sorted."""
    return sha1("".join(sorted(parts)).encode(), usedforsecurity=False).hexdigest()


def encrypt(message: bytes, aes_key: str, appid: str) -> str:
    """Return the message as WXBizMsgCrypt encrypts it."""
    key = b64decode(f"{aes_key}=")
    padder = PKCS7(256).padder()
    full = secrets.token_bytes(16) + len(message).to_bytes(4, "big") + message + appid.encode()
    encryptor = Cipher(AES256(key), CBC(key[:16])).encryptor()
    return b64encode(encryptor.update(padder.update(full) + padder.finalize()) + encryptor.finalize()).decode()


def render(fields: Fields, form: str) -> bytes:
    """Return the fields as JSON, or as XML with texts in CDATA."""
    if form == "json":
        return json.dumps(fields, ensure_ascii=False).encode()
    elements = [f"<{name}>{_xml(value)}</{name}>" for name, value in fields.items()]
    return f"<xml>{''.join(elements)}</xml>".encode()


def _xml(value: str | int) -> str:
    if isinstance(value, int):
        return str(value)
    return f"<![CDATA[{value.replace(']]>', ']]]]><![CDATA[>')}]]>"


def _signed(token: str, timestamp: int) -> dict[str, str]:
    parts = {"timestamp": str(timestamp), "nonce": str(secrets.randbelow(10**10))}
    return {"signature": sign(token, *parts.values()), **parts}


def _send(method: str, url: str, body: bytes | None = None, media_type: str = "") -> PushAnswer:
    """Send a request, without proxies and redirects."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    began = time.perf_counter()
    try:
        connection = kind(parts.hostname or "", parts.port, timeout=TIMEOUT_SECONDS)
        try:
            headers = {"Content-Type": media_type, "User-Agent": "Mozilla/4.0"} if body is not None else {}
            connection.request(method, f"{parts.path or '/'}?{parts.query}", body, headers)
            response = connection.getresponse()
            answer = response.status, response.read(MAX_ANSWER_BYTES).decode(errors="replace")
        finally:
            connection.close()
    except (OSError, ValueError, http.client.HTTPException) as error:
        return PushAnswer(False, None, f"no answer: {type(error).__name__}", time.perf_counter() - began)
    return PushAnswer(False, *answer, time.perf_counter() - began)
