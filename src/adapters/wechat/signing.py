"""Encrypt and sign requests, and verify and decrypt responses, of apps with API security.

AES-256-GCM for the body, RSA-PSS-SHA256 for the signature:
https://developers.weixin.qq.com/miniprogram/dev/server/getting_started/api_signature.html
"""

import secrets
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature, InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.x509 import load_pem_x509_certificate

from adapters.wechat.errcodes import WeChatBadResponse
from domain.identity import AppId

ORIGIN = "https://api.weixin.qq.com"
"""The signed URL is WeChat's own, also through a proxy or a sandbox."""

PSS = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)
IV, TAG = 12, 16
OLDEST_SECONDS = 300


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """The keys of an app in the WeChat console. An sn is the serial number of a key there."""

    sym_key: str = field(repr=False)
    sym_key_sn: str
    private_key: str = field(repr=False)
    certificate: str
    certificate_sn: str


class Envelope(msgspec.Struct):
    """An encrypted body. Its fields are base64."""

    iv: str
    data: str
    authtag: str


class Signer:
    """Encrypts and signs the requests of one app, and opens their responses. Raises ValueError for malformed keys."""

    def __init__(self, appid: AppId, keys: SigningKeys, clock: Callable[[], datetime]) -> None:
        self._appid = appid.value
        self._sym_key_sn = keys.sym_key_sn
        self._cipher = _cipher(keys.sym_key)
        self._private_key = _private_key(keys.private_key)
        self._wechat_key = _public_key(keys.certificate)
        self._certificate_sn = keys.certificate_sn
        self._clock = clock

    def seal(self, path: str, body: Mapping[str, Any]) -> tuple[bytes, dict[str, str]]:
        """Return the encrypted body for `path`, and the headers with its signature."""
        timestamp = int(self._clock().timestamp())
        marks = {"_n": secrets.token_urlsafe(16), "_appid": self._appid, "_timestamp": timestamp}
        iv = secrets.token_bytes(IV)
        sealed = self._cipher.encrypt(iv, msgspec.json.encode({**marks, **body}), self._aad(path, timestamp))
        content = msgspec.json.encode(Envelope(*map(_base64, (iv, sealed[:-TAG], sealed[-TAG:]))))
        signature = self._private_key.sign(self._payload(path, timestamp, content), PSS, hashes.SHA256())
        return content, {
            "Wechatmp-Appid": self._appid,
            "Wechatmp-TimeStamp": str(timestamp),
            "Wechatmp-Signature": _base64(signature),
        }

    def open(self, path: str, headers: Mapping[str, str], body: bytes) -> bytes:
        """Return the decrypted response.

        Raises IdentityProviderBadResponse unless WeChat signed it for this app within minutes.
        """
        try:
            timestamp = int(headers["wechatmp-timestamp"])
            self._verify(path, timestamp, headers, body)
            envelope = msgspec.json.decode(body, type=Envelope)
            sealed = b64decode(envelope.data) + b64decode(envelope.authtag)
            plain = self._cipher.decrypt(b64decode(envelope.iv), sealed, self._aad(path, timestamp))
            marks = msgspec.json.decode(plain)
            is_ours = (marks["_appid"], marks["_timestamp"]) == (self._appid, timestamp)
        except (LookupError, ValueError, TypeError, InvalidSignature, InvalidTag):
            raise WeChatBadResponse(
                "WeChat's response is not signed as it should be; compare the app's certificate with the WeChat console"
            ) from None
        if not is_ours or self._clock().timestamp() - timestamp > OLDEST_SECONDS:
            raise WeChatBadResponse("WeChat's response is another app's, or too old; check this server's clock")
        return plain

    def _verify(self, path: str, timestamp: int, headers: Mapping[str, str], body: bytes) -> None:
        """Verify the signature. While WeChat replaces its certificate, it also signs with the old one."""
        suffix = "" if headers["wechatmp-serial"] == self._certificate_sn else "-deprecated"
        if headers[f"wechatmp-serial{suffix}"] != self._certificate_sn:
            raise InvalidSignature
        signature = b64decode(headers[f"wechatmp-signature{suffix}"])
        self._wechat_key.verify(signature, self._payload(path, timestamp, body), PSS, hashes.SHA256())

    def _aad(self, path: str, timestamp: int) -> bytes:
        return f"{ORIGIN}{path}|{self._appid}|{timestamp}|{self._sym_key_sn}".encode()

    def _payload(self, path: str, timestamp: int, body: bytes) -> bytes:
        return f"{ORIGIN}{path}\n{self._appid}\n{timestamp}\n".encode() + body


def _base64(data: bytes) -> str:
    return b64encode(data).decode()


def _cipher(sym_key: str) -> AESGCM:
    try:
        key = b64decode(sym_key, validate=True)
    except ValueError:
        key = b""
    if len(key) != 32:
        raise ValueError("sym_key must be 32 bytes in base64")
    return AESGCM(key)


def _private_key(pem: str) -> rsa.RSAPrivateKey:
    try:
        key = serialization.load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # no PEM, with a password, of SM2
        key = None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ValueError("private_key must be an RSA key in PEM, without a password")  # noqa: TRY004  # it is a setting
    return key


def _public_key(pem: str) -> rsa.RSAPublicKey:
    """Return the public key of a certificate, or a bare public key."""
    data = pem.encode()
    try:
        is_certificate = "BEGIN CERTIFICATE" in pem
        key: object = (
            load_pem_x509_certificate(data).public_key() if is_certificate else serialization.load_pem_public_key(data)
        )
    except (ValueError, UnsupportedAlgorithm):  # no PEM, of SM2
        key = None
    if not isinstance(key, rsa.RSAPublicKey):
        raise ValueError("certificate must be a certificate or a public key of RSA, in PEM")  # noqa: TRY004  # as above
    return key
