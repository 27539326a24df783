"""The cryptography of client data.

https://developers.weixin.qq.com/miniprogram/dev/framework/open-ability/signature.html
"""

import hmac
import secrets
from base64 import b64decode, b64encode
from hashlib import sha1, sha256

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7


def encrypt(plaintext: bytes, session_key: str) -> tuple[str, str]:
    """Encrypt by AES-128-CBC with PKCS#7, and return the ciphertext and a random iv, both base64."""
    iv = secrets.token_bytes(16)
    padder = PKCS7(128).padder()
    encryptor = Cipher(AES128(b64decode(session_key)), CBC(iv)).encryptor()
    padded = padder.update(plaintext) + padder.finalize()
    return b64encode(encryptor.update(padded) + encryptor.finalize()).decode(), b64encode(iv).decode()


def data_signature(raw_data: str, session_key: str) -> str:
    """Return the `signature` of wx.getUserInfo(): hex SHA-1 of rawData and the session_key's base64 text."""
    return sha1((raw_data + session_key).encode(), usedforsecurity=False).hexdigest()


def key_signature(session_key: str, message: bytes = b"") -> str:
    """Return hex HMAC-SHA256 of `message` (by default empty) under the session_key's base64 text."""
    return hmac.new(session_key.encode(), message, sha256).hexdigest()
