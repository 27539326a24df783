"""Encrypted data that a client sends to its server."""

import json
from base64 import b64decode
from collections.abc import Awaitable, Callable
from hashlib import sha1, sha256
from typing import Any

import httpx2
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7

pytestmark = pytest.mark.anyio

Ask = Callable[..., Awaitable[dict[str, Any]]]
APPID, OTHER = "wx0123456789abcdef", "wxfedcba9876543210"
PATH = "/wxa/business/checkencryptedmsg"
DATA = {"nickName": "小明", "gender": 1}


def decrypt(made: dict[str, Any], key: str) -> dict[str, Any]:
    """Return the decrypted data, as a server decrypts it."""
    decryptor = Cipher(AES128(b64decode(key)), CBC(b64decode(made["iv"]))).decryptor()
    padded = decryptor.update(b64decode(made["encryptedData"])) + decryptor.finalize()
    unpadder = PKCS7(128).unpadder()
    fields: dict[str, Any] = json.loads(unpadder.update(padded) + unpadder.finalize())
    return fields


async def log_in(client: httpx2.AsyncClient, openid: str = "o-alice") -> str:
    """Log a user in, and return the session_key."""
    code = (await client.post("/sandbox/codes", json={"appid": APPID, "openid": openid})).json()["code"]
    query = {"appid": APPID, "secret": "0" * 32, "js_code": code, "grant_type": "authorization_code"}
    return str((await client.get("/sns/jscode2session", params=query)).json()["session_key"])


async def test_data_is_encrypted_with_the_current_key(client: httpx2.AsyncClient, control: Ask) -> None:
    """The server decrypts the data with its watermark, and verifies the signature of rawData."""
    key = await log_in(client)

    made = await control("/encrypt", appid=APPID, openid="o-alice", data=DATA)
    plain = decrypt(made, key)
    watermark = plain.pop("watermark")

    assert made.keys() == {"encryptedData", "iv", "rawData", "signature"}
    assert plain == DATA == json.loads(made["rawData"])
    assert watermark.keys() == {"appid", "timestamp"}
    assert watermark["appid"] == APPID
    assert made["signature"] == sha1((made["rawData"] + key).encode(), usedforsecurity=False).hexdigest()


async def test_a_given_watermark_is_not_replaced(client: httpx2.AsyncClient, control: Ask) -> None:
    """Data with its own watermark is encrypted unchanged."""
    key = await log_in(client)
    data = DATA | {"watermark": {"appid": OTHER, "timestamp": 1}}

    assert decrypt(await control("/encrypt", appid=APPID, openid="o-alice", data=data), key) == data


async def test_the_first_login_replaces_the_key_of_earlier_data(client: httpx2.AsyncClient, control: Ask) -> None:
    """Data of a user who has not logged in is encrypted with a key, which the first login replaces."""
    made = await control("/encrypt", appid=APPID, openid="o-alice", data=DATA)
    key = await log_in(client)

    assert made["signature"] != sha1((made["rawData"] + key).encode(), usedforsecurity=False).hexdigest()


async def test_each_encryption_has_its_own_iv(control: Ask) -> None:
    """The same data is encrypted with a different iv and ciphertext each time."""
    order = {"appid": APPID, "openid": "o-alice", "data": DATA}
    first, second = await control("/encrypt", **order), await control("/encrypt", **order)

    assert first["iv"] != second["iv"]
    assert first["encryptedData"] != second["encryptedData"]


async def test_a_check_of_known_data_is_valid(control: Ask, call: Ask) -> None:
    """The SHA-256 of the encryptedData text, in lower or upper case, is valid, and the answer has its time."""
    made = await control("/encrypt", appid=APPID, openid="o-alice", data=DATA)
    hashed = sha256(made["encryptedData"].encode()).hexdigest()

    answer = await call(PATH, {"encrypted_msg_hash": hashed})
    created = answer.pop("create_time")

    assert answer == {"errcode": 0, "errmsg": "ok", "vaild": True}
    assert isinstance(created, int)
    assert (await call(PATH, {"encrypted_msg_hash": hashed.upper()}))["vaild"] is True


async def test_unknown_data_is_not_valid(control: Ask, call: Ask) -> None:
    """Data that is unknown or of another app is not valid, with errcode 1."""
    made = await control("/encrypt", appid=OTHER, openid="o-alice", data=DATA)

    for hashed in ("0" * 64, sha256(made["encryptedData"].encode()).hexdigest()):
        answer = await call(PATH, {"encrypted_msg_hash": hashed})

        assert answer["errmsg"].startswith("data not exit rid: ")
        assert answer.items() >= {"errcode": 1, "vaild": False, "create_time": 0}.items()


async def test_data_is_unknown_after_three_days(control: Ask, call: Ask) -> None:
    """Data is unknown after three days."""
    made = await control("/encrypt", appid=APPID, openid="o-alice", data=DATA)
    body = {"encrypted_msg_hash": sha256(made["encryptedData"].encode()).hexdigest()}
    await control("/clock", advance_seconds=3 * 86400 - 10)

    assert (await call(PATH, body))["vaild"] is True
    await control("/clock", advance_seconds=10)
    assert (await call(PATH, body))["vaild"] is False


async def test_a_check_without_a_hash_is_refused(call: Ask) -> None:
    """A check without a hash is 40097."""
    assert (await call(PATH, {}))["errcode"] == 40097
