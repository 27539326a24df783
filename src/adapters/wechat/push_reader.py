"""Read WeChat's message push: signed, in XML or JSON, plain or encrypted (WXBizMsgCrypt).

https://developers.weixin.qq.com/miniprogram/dev/framework/server-ability/message-push.html

A sender learns one thing about a request that is refused: that it is. With an EncodingAESKey, only what is encrypted is
read. The plain signature does not cover the body, and who sees one plain push could sign any body with it.
"""

import json
import re
from base64 import b64decode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha1, sha256
from hmac import compare_digest
from typing import Any
from urllib.parse import parse_qsl
from xml.etree.ElementTree import Element, ParseError

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7
from defusedxml.ElementTree import fromstring

from application.ports.clock import Clock
from application.ports.push_reader import PushReader
from domain.errors import NotFound
from domain.identity import ID, AppId
from domain.push import WINDOW, Push, PushRefused, PushType, RawPush, id_of

MAX_FIELDS = 64
"""How many parameters a query may have."""

ECHO = re.compile(r"[!-~]{1,256}")
TIMESTAMP = re.compile(r"[0-9]{1,10}")
NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")

BLOCK_BITS = 256
"""WXBizMsgCrypt pads to 32 bytes, twice the block of AES."""

NOISE, LENGTH = 16, 4
"""The bytes in front of a message: random ones, and its length."""

SPACED_TAG = re.compile(rb"<(/?)\s+(?=[A-Za-z])")
"""A tag with a blank in front of its name, as in WeChat's samples."""

Fields = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PushKeys:
    """The Token and the EncodingAESKey of one app, as in the WeChat console."""

    token: str = field(repr=False)
    aes_key: str | None = field(default=None, repr=False)


class WeChatPushReader(PushReader):
    """A PushReader of apps that have PushKeys."""

    def __init__(self, keys: Mapping[AppId, PushKeys], clock: Clock) -> None:
        self._keys = keys
        self._clock = clock

    def read_check(self, appid: AppId, raw: RawPush) -> str:
        """See PushReader."""
        query = _query_of(raw)
        self._require_signature(query, "signature", self._keys_of(appid))
        echo = query.get("echostr", "")
        if not ECHO.fullmatch(echo):
            raise PushRefused("echostr")
        return echo

    def read(self, appid: AppId, raw: RawPush) -> Push:
        """See PushReader."""
        keys, query = self._keys_of(appid), _query_of(raw)
        if keys.aes_key is None:
            self._require_signature(query, "signature", keys)
            if "Encrypt" in (given := fields_of(raw.body)) and "CreateTime" not in given:
                raise PushRefused("encrypted")
            return _push_of(appid, raw.body)
        encrypted = fields_of(raw.body).get("Encrypt")
        if not encrypted:
            raise PushRefused("plain")
        self._require_signature(query, "msg_signature", keys, encrypted)
        return _push_of(appid, decrypt(encrypted, keys.aes_key, appid))

    def _keys_of(self, appid: AppId) -> PushKeys:
        if appid not in self._keys:
            raise NotFound("There is no such path")
        return self._keys[appid]

    def _require_signature(self, query: Fields, name: str, keys: PushKeys, *more: str) -> None:
        """Raise PushRefused unless the parameter is the signature of the others, and the timestamp is of now."""
        timestamp, nonce = query.get("timestamp", ""), query.get("nonce", "")
        expected = sign(keys.token, timestamp, nonce, *more)
        if not compare_digest(expected.encode(), query.get(name, "").encode()):
            raise PushRefused("signature")
        if not TIMESTAMP.fullmatch(timestamp) or abs(_time_of(timestamp) - self._clock()) > WINDOW:
            raise PushRefused("late")


def sign(*parts: str) -> str:
    """Return WeChat's signature: hex SHA-1 of the sorted parts."""
    return sha1("".join(sorted(parts)).encode(), usedforsecurity=False).hexdigest()


def decrypt(encrypted: str, aes_key: str, appid: AppId) -> bytes:
    """Return the message of an app: AES-256-CBC, whose IV is the first half of the key. Raises PushRefused."""
    key = b64decode(f"{aes_key}=")
    try:
        decryptor = Cipher(algorithms.AES256(key), modes.CBC(key[:16])).decryptor()
        padded = decryptor.update(b64decode(encrypted, validate=True)) + decryptor.finalize()
        unpadder = PKCS7(BLOCK_BITS).unpadder()
        opened = unpadder.update(padded) + unpadder.finalize()
    except ValueError:
        raise PushRefused("encryption") from None
    end = NOISE + LENGTH + int.from_bytes(opened[NOISE : NOISE + LENGTH], "big")
    if not compare_digest(opened[end:], appid.value.encode()):
        raise PushRefused("app")
    return opened[NOISE + LENGTH : end]


def fields_of(message: bytes) -> Fields:
    """Return the texts and numbers of a message by name, without blanks around names and values. Raises PushRefused.

    Values that have parts are left out. A name that occurs twice is refused: each reader could take another one.
    """
    try:
        pairs = _require_text(_json_pairs(message) if message.lstrip()[:1] == b"{" else _xml_pairs(message))
    except (ValueError, LookupError, ParseError, RecursionError):
        raise PushRefused("body") from None
    named: dict[str, str] = {}
    for name, value in pairs:
        if name in named:
            raise PushRefused("body")
        named[name] = value
    return named


def _require_text(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the pairs. Raises ValueError for halves of characters, which JSON can escape and nothing can encode."""
    checked = list(pairs)
    "".join(value for _, value in checked).encode()
    return checked


def _json_pairs(message: bytes) -> list[tuple[str, str]]:
    """Return the members of a JSON object."""
    read = json.loads(message, object_pairs_hook=_Members)
    return [(name.strip(), _text(value)) for name, value in read]


class _Members(list[tuple[str, Any]]):
    """The members of a JSON object, in their order and with repetitions."""


def _text(value: object) -> str:
    return str(value).strip() if isinstance(value, (str, int)) and not isinstance(value, bool) else ""


def _xml_pairs(message: bytes) -> list[tuple[str, str]]:
    """Return the children of the root."""
    try:
        root = _root_of(message)
    except ParseError:
        root = _root_of(SPACED_TAG.sub(rb"<\1", message))
    return [(child.tag.strip(), (child.text or "").strip()) for child in root]


def _root_of(message: bytes) -> Element:
    """Return the root of XML without a document type, so that no entity is expanded."""
    root: Element = fromstring(message, forbid_dtd=True)
    return root


def _query_of(raw: RawPush) -> Fields:
    """Return the parameters of the query. Raises PushRefused for one that is there twice."""
    try:
        pairs = parse_qsl(raw.query, keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        raise PushRefused("query") from None
    query = dict(pairs)
    if len(query) != len(pairs):
        raise PushRefused("query")
    return query


def _push_of(appid: AppId, message: bytes) -> Push:
    """Return the event in a message. Raises PushRefused for an event of another app."""
    named = fields_of(message)
    if named.get("AppID", appid.value) != appid.value:
        raise PushRefused("app")
    created = named.get("CreateTime", "")
    name = named.get("Event") or named.get("MsgType", "")
    if not TIMESTAMP.fullmatch(created) or not NAME.fullmatch(name):
        raise PushRefused("body")
    kind = _type_of(name) if named.get("MsgType", "event").lower() == "event" else None
    if kind is None:
        content = sha256(message).hexdigest()
        return Push(id_of(appid.value, content), appid, name, _time_of(created))
    openid = named.get("OpenID") or named.get("FromUserName", "")
    if not ID.fullmatch(openid):
        raise PushRefused("body")
    revoked = tuple(dict.fromkeys(int(number) for number in re.findall(r"[0-9]{1,4}", named.get("RevokeInfo", ""))))
    push_id = id_of(appid.value, kind, openid, created, *map(str, revoked))
    return Push(push_id, appid, kind.value, _time_of(created), kind, openid, revoked)


def _type_of(name: str) -> PushType | None:
    return PushType(name.lower()) if name.lower() in set(PushType) else None


def _time_of(timestamp: str) -> datetime:
    return datetime.fromtimestamp(int(timestamp), UTC)
