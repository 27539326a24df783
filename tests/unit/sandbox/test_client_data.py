"""Data that a client hands to its server."""

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
    """What a server makes of encrypted data."""
    decryptor = Cipher(AES128(b64decode(key)), CBC(b64decode(made["iv"]))).decryptor()
    padded = decryptor.update(b64decode(made["encryptedData"])) + decryptor.finalize()
    unpadder = PKCS7(128).unpadder()
    fields: dict[str, Any] = json.loads(unpadder.update(padded) + unpadder.finalize())
    return fields


async def log_in(client: httpx2.AsyncClient, openid: str = "o-alice") -> str:
    """The session_key of a user who logs in."""
    code = (await client.post("/sandbox/codes", json={"appid": APPID, "openid": openid})).json()["code"]
    query = {"appid": APPID, "secret": "0" * 32, "js_code": code, "grant_type": "authorization_code"}
    return str((await client.get("/sns/jscode2session", params=query)).json()["session_key"])


async def test_data_under_the_present_key(client: httpx2.AsyncClient, control: Ask) -> None:
    """The server that logged the user in decrypts the data with its watermark, and verifies rawData without."""
    key = await log_in(client)

    made = await control("/encrypt", appid=APPID, openid="o-alice", data=DATA)
    plain = decrypt(made, key)
    watermark = plain.pop("watermark")

    assert made.keys() == {"encryptedData", "iv", "rawData", "signature"}
    assert plain == DATA == json.loads(made["rawData"])
    assert watermark.keys() == {"appid", "timestamp"}
    assert watermark["appid"] == APPID
    assert made["signature"] == sha1((made["rawData"] + key).encode(), usedforsecurity=False).hexdigest()


async def test_a_watermark_of_the_testers_own(client: httpx2.AsyncClient, control: Ask) -> None:
    """Data that brings a watermark, be it a wrong one, keeps it."""
    key = await log_in(client)
    data = DATA | {"watermark": {"appid": OTHER, "timestamp": 1}}

    assert decrypt(await control("/encrypt", appid=APPID, openid="o-alice", data=data), key) == data


async def test_a_user_who_logs_in_later(client: httpx2.AsyncClient, control: Ask) -> None:
    """Data of a user who never logged in is under a key too, which the login then replaces."""
    made = await control("/encrypt", appid=APPID, openid="o-alice", data=DATA)
    key = await log_in(client)

    assert made["signature"] != sha1((made["rawData"] + key).encode(), usedforsecurity=False).hexdigest()


async def test_each_encryption_has_its_own_iv(control: Ask) -> None:
    """The same data is never the same ciphertext."""
    order = {"appid": APPID, "openid": "o-alice", "data": DATA}
    first, second = await control("/encrypt", **order), await control("/encrypt", **order)

    assert first["iv"] != second["iv"]
    assert first["encryptedData"] != second["encryptedData"]


async def test_wechat_knows_what_it_made(control: Ask, call: Ask) -> None:
    """The SHA-256 of encryptedData's text, in either case, is known with the time it was made."""
    made = await control("/encrypt", appid=APPID, openid="o-alice", data=DATA)
    hashed = sha256(made["encryptedData"].encode()).hexdigest()

    answer = await call(PATH, {"encrypted_msg_hash": hashed})
    created = answer.pop("create_time")

    assert answer == {"errcode": 0, "errmsg": "ok", "vaild": True}
    assert isinstance(created, int)
    assert (await call(PATH, {"encrypted_msg_hash": hashed.upper()}))["vaild"] is True


async def test_data_of_others_is_not_valid(control: Ask, call: Ask) -> None:
    """Data of nobody, or of another app, is not valid, and errcode 1 says so too."""
    made = await control("/encrypt", appid=OTHER, openid="o-alice", data=DATA)

    for hashed in ("0" * 64, sha256(made["encryptedData"].encode()).hexdigest()):
        answer = await call(PATH, {"encrypted_msg_hash": hashed})

        assert answer["errmsg"].startswith("data not exit rid: ")
        assert answer.items() >= {"errcode": 1, "vaild": False, "create_time": 0}.items()


async def test_wechat_forgets_after_three_days(control: Ask, call: Ask) -> None:
    """Data of three days is as if WeChat had never made it."""
    made = await control("/encrypt", appid=APPID, openid="o-alice", data=DATA)
    body = {"encrypted_msg_hash": sha256(made["encryptedData"].encode()).hexdigest()}
    await control("/clock", advance_seconds=3 * 86400 - 10)

    assert (await call(PATH, body))["vaild"] is True
    await control("/clock", advance_seconds=10)
    assert (await call(PATH, body))["vaild"] is False


async def test_a_check_of_nothing(call: Ask) -> None:
    """Without a hash there is nothing to check."""
    assert (await call(PATH, {}))["errcode"] == 40097
