"""Data of the client that WeChat encrypted for the server."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from domain.errors import DataUndecryptable, RequestInvalid, WatermarkMismatch
from domain.identity import AppId, Identity

BLOCK = 16
"""Bytes in a block of AES."""


@dataclass(frozen=True, slots=True)
class EncryptedData:
    """`encryptedData` and `iv` of wx.getUserInfo() and similar calls: AES-128-CBC with PKCS#7 padding.

    https://developers.weixin.qq.com/miniprogram/dev/framework/open-ability/signature.html
    """

    ciphertext: bytes = field(repr=False)
    iv: bytes = field(repr=False)

    @classmethod
    def parse(cls, encrypted_data: str, iv: str) -> Self:
        """Decode both from base64. Raises RequestInvalid for other text, and for a wrong length."""
        parsed = cls(_decoded("encryptedData", encrypted_data), _decoded("iv", iv))
        if not parsed.ciphertext or len(parsed.ciphertext) % BLOCK:
            raise RequestInvalid("encryptedData must be one or more blocks of 16 bytes; some of it was lost on the way")
        if len(parsed.iv) != BLOCK:
            raise RequestInvalid("iv must be 16 bytes")
        return parsed


def _decoded(name: str, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise RequestInvalid(
            f"{name} is not base64; a '+' that arrives as a space was not URL-encoded on the way"
        ) from None


def check_watermark(data: Mapping[str, Any], appid: AppId) -> None:
    """Raise WatermarkMismatch unless the watermark of the decrypted data names this app."""
    watermark = data.get("watermark")
    made_for = watermark.get("appid") if isinstance(watermark, Mapping) else None
    if made_for != appid.value:
        raise WatermarkMismatch(f"The data's watermark is not of this session's app, {appid}; refuse it")


def check_openid(data: Mapping[str, Any], identity: Identity) -> None:
    """Raise DataUndecryptable if the decrypted data has an `openId` that is not this user's.

    AES-CBC does not authenticate: a client can change the first block, where `openId` is, by changing the iv. Phone
    numbers and run data have no `openId`.
    """
    if data.get("openId", identity.openid) != identity.openid:
        raise DataUndecryptable("The data names another user than this session's; send it as WeChat gave it")
