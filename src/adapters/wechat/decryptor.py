"""Decrypt AES-128-CBC with PKCS#7, WeChat's format of client data.

https://developers.weixin.qq.com/miniprogram/dev/framework/open-ability/signature.html
"""

from base64 import b64decode
from typing import Any

import msgspec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from application.ports.decryptor import Decryptor
from domain.client_data import EncryptedData
from domain.errors import DataUndecryptable
from domain.session_key import SessionKey


class WeChatDecryptor(Decryptor):
    """A Decryptor of WeChat's format. It has no checksum: a wrong key is recognized by the padding or the JSON."""

    def decrypt(self, data: EncryptedData, key: SessionKey) -> dict[str, Any]:
        """See Decryptor."""
        try:
            decryptor = Cipher(algorithms.AES128(b64decode(key.value)), modes.CBC(data.iv)).decryptor()
            unpadder = PKCS7(algorithms.AES128.block_size).unpadder()
            padded = decryptor.update(data.ciphertext) + decryptor.finalize()
            opened = msgspec.json.decode(unpadder.update(padded) + unpadder.finalize())
        except (ValueError, RecursionError):
            opened = None
        if not isinstance(opened, dict):
            raise DataUndecryptable
        return opened
