"""API security: encrypted and signed requests and responses.

https://developers.weixin.qq.com/miniprogram/dev/server/getting_started/api_signature.html
"""

import re
import secrets
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated

import msgspec
from msgspec import Meta

from wechat_sandbox.errors import WeChatError, require
from wechat_sandbox.lru import LruDict
from wechat_sandbox.requests import Request
from wechat_sandbox.signing_keys import Platform, load_public_key, seal, unseal, verify

HOST = "https://api.weixin.qq.com"
"""The host in what is signed and authenticated, wherever the sandbox is."""
MAX_AGE_SECONDS = 300
"""WeChat's page has this for answers, and no figure for requests."""
APPS_REMEMBERED = 1_000

_is_timestamp = re.compile(r"\d{1,12}", re.ASCII).fullmatch


class SigningOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The app that signs, the PEM of its RSA public key, and whether its unsigned calls are refused."""

    appid: Annotated[str, Meta(min_length=1, max_length=128)]
    public_key: Annotated[str, Meta(max_length=8192)]
    required: bool = True


class Sealed(msgspec.Struct, frozen=True):
    """An encrypted body: base64 of a 12-byte iv, of the ciphertext, and of a 16-byte tag."""

    iv: str
    data: str
    authtag: str


@dataclass(frozen=True, slots=True)
class SigningApp:
    """The keys of an app in WeChat's console, by their names there."""

    appid: str
    public_key: str
    required: bool
    sym_key: str = field(default_factory=lambda: b64encode(secrets.token_bytes(32)).decode(), repr=False)
    sym_key_sn: str = field(default_factory=lambda: secrets.token_hex(16))
    asym_key_sn: str = field(default_factory=lambda: secrets.token_hex(16))


class Signing:
    """The apps with API security, the last 1,000 that registered.

    `now` (Unix seconds) dates signatures. It is the machine's time, which the other side uses, too.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._apps: LruDict[str, SigningApp] = LruDict(APPS_REMEMBERED)
        self._platform = Platform()

    def register(self, order: SigningOrder) -> dict[str, str]:
        """Register an app, as in WeChat's console. Raises ControlRefused for a public key that is not RSA."""
        load_public_key(order.public_key)
        app = SigningApp(order.appid, order.public_key, order.required)
        self._apps[app.appid] = app
        serials = {"sym_key": app.sym_key, "sym_key_sn": app.sym_key_sn, "asym_key_sn": app.asym_key_sn}
        return serials | self._platform.shown()

    def open(self, request: Request) -> Request:
        """Return the request; a signed one is verified and decrypted.

        Raises WeChatError: 40239 (signed by an app that set up no key), and for an app that has to sign, in this
        order: 40233, 40231, 40232 (a header missing), 40236, 40237 (an appid, but of another app), 40240 (more than
        300 s old or early), 40234 (the signature), 40235 (the encryption, or what is in it).
        """
        app = self._apps.get(request.appid)
        signed = "wechatmp-signature" in request.headers
        if app is None:
            require(not signed, 40239)
            return request
        if not signed and not app.required:
            return request
        timestamp = self._check_headers(app, request.headers)
        signature = request.headers["wechatmp-signature"]
        require(verify(app.public_key, signature, signed_text(app.appid, timestamp, request)), 40234)
        return clear(request, self._unseal(app, timestamp, request))

    def answer(self, request: Request, fields: Mapping[str, object]) -> tuple[bytes, dict[str, str]]:
        """Return the encrypted body of a response to a signed request, and its signature headers."""
        app = self._apps.get(request.appid)
        if app is None:
            raise WeChatError(40239)
        timestamp = int(self._now())
        guards = {"_n": secrets.token_urlsafe(16), "_appid": app.appid, "_timestamp": timestamp}
        iv, data, tag = seal(msgspec.json.encode(guards | dict(fields)), app.sym_key, aad(app, str(timestamp), request))
        body = msgspec.json.encode(Sealed(iv, data, tag))
        signature = self._platform.sign(signed_text(app.appid, str(timestamp), replace(request, body=body)))
        return body, {
            "Wechatmp-Appid": app.appid,
            "Wechatmp-TimeStamp": str(timestamp),
            "Wechatmp-Serial": self._platform.serial,
            "Wechatmp-Signature": signature,
        }

    def _check_headers(self, app: SigningApp, headers: Mapping[str, str]) -> str:
        """Check the headers of a request, and return its timestamp."""
        appid, timestamp = headers.get("wechatmp-appid", ""), headers.get("wechatmp-timestamp", "")
        require(appid, 40233)
        require(timestamp, 40231)
        require(headers.get("wechatmp-signature"), 40232)
        require(appid.startswith("wx"), 40236)
        require(appid == app.appid, 40237)
        require(_is_timestamp(timestamp) and abs(self._now() - int(timestamp)) <= MAX_AGE_SECONDS, 40240)
        return timestamp

    def _unseal(self, app: SigningApp, timestamp: str, request: Request) -> dict[str, object]:
        try:
            sealed = msgspec.json.decode(request.body, type=Sealed)
            plaintext = unseal(sealed.iv, sealed.data, sealed.authtag, app.sym_key, aad(app, timestamp, request))
            fields = msgspec.json.decode(plaintext, type=dict[str, object])
        except (ValueError, RecursionError) as error:
            raise WeChatError(40235) from error
        guards = {name: fields.pop(name, None) for name in ("_n", "_appid", "_timestamp")}
        require(guards["_n"], 40235)
        require(guards["_appid"] == app.appid and guards["_timestamp"] == int(timestamp), 40235)
        return fields


def signed_text(appid: str, timestamp: str, request: Request) -> bytes:
    """Return the signed text of a request or response: four lines, the last one is the body."""
    return f"{HOST}{request.path}\n{appid}\n{timestamp}\n".encode() + request.body


def aad(app: SigningApp, timestamp: str, request: Request) -> bytes:
    """Return the additional authenticated data of AES-GCM."""
    return f"{HOST}{request.path}|{app.appid}|{timestamp}|{app.sym_key_sn}".encode()


def clear(request: Request, fields: Mapping[str, object]) -> Request:
    """Return the decrypted request, with its parameters both in the query and in the body."""
    query = {name: value for name, value in fields.items() if isinstance(value, str)}
    return replace(request, query={**request.query, **query}, body=msgspec.json.encode(fields), signed=True)
