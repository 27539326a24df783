"""Data that WeChat encrypted or signed, and that the client of a mini-program sends."""

import base64
import hashlib
import json
import secrets
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from adapters.memory.key_vault import MemoryKeyVault
from adapters.memory.platform import MemoryPlatform
from adapters.memory.rate_limiter import MemoryRateLimiter
from adapters.wechat.decryptor import WeChatDecryptor
from application.client_data import ClientData, Decrypted
from application.rate_limits import DECRYPTIONS, Quota
from domain.device import UNKNOWN_DEVICE
from domain.errors import DataUndecryptable, RateLimited, RequestInvalid, Retry, WatermarkMismatch
from domain.identity import AppId, Identity
from domain.session import Session, SessionPolicy, SessionToken
from domain.session_key import SessionKey
from support.clock import Clock

pytestmark = pytest.mark.anyio

APP, OTHER_APP = AppId("wx0000000000000001"), AppId("wx0000000000000002")
ANN = Identity(APP, "oAnn")
OLDEST, OLD, NEW = (SessionKey(base64.b64encode(bytes([number] * 16)).decode()) for number in (1, 2, 3))
DATA = {"openId": "oAnn", "nickName": "李雷 👩", "watermark": {"appid": APP.value, "timestamp": 1477314187}}
FIVE_MINUTES = timedelta(minutes=5)


@pytest.fixture
def client_data(vault: MemoryKeyVault, platform: MemoryPlatform, clock: Clock) -> ClientData:
    """The use case, with WeChat's real encryption."""
    quota = Quota(MemoryRateLimiter(clock), DECRYPTIONS, "too many")
    return ClientData(vault, WeChatDecryptor(), platform, quota, clock=clock)


@pytest.fixture
def session(clock: Clock) -> Session:
    """Ann's session."""
    return Session.start(SessionToken.generate(), "ann", ANN, UNKNOWN_DEVICE, SessionPolicy(), clock.now)


async def keep(vault: MemoryKeyVault, session: Session, now: datetime, *keys: SessionKey) -> None:
    """Store these keys for Ann, one after the other."""
    for key in keys:
        await vault.replace(session, key, now)


def encrypted(data: Any, key: SessionKey) -> tuple[str, str]:
    """Return encryptedData and iv, as WeChat gives them to the client."""
    iv, padder = secrets.token_bytes(16), PKCS7(128).padder()
    padded = padder.update(json.dumps(data).encode()) + padder.finalize()
    encryptor = Cipher(algorithms.AES128(base64.b64decode(key.value)), modes.CBC(iv)).encryptor()
    return base64.b64encode(encryptor.update(padded) + encryptor.finalize()).decode(), base64.b64encode(iv).decode()


def signed(raw_data: str, key: SessionKey) -> str:
    """Return WeChat's signature of rawData."""
    return hashlib.sha1(f"{raw_data}{key.value}".encode()).hexdigest()  # noqa: S324  # WeChat's choice


async def test_data_is_decrypted_with_the_newest_key(
    client_data: ClientData, session: Session, vault: MemoryKeyVault, clock: Clock
) -> None:
    """Data encrypted with the newest key is decrypted completely, and the result names the key as current."""
    await keep(vault, session, clock.now, OLD, NEW)

    assert await client_data.decrypt(session, *encrypted(DATA, NEW)) == Decrypted(DATA, "current")


async def test_late_data_is_decrypted_with_the_previous_key(
    client_data: ClientData, session: Session, vault: MemoryKeyVault, clock: Clock
) -> None:
    """For five minutes after a new login, data encrypted with the previous key is decrypted too. The result says so."""
    await keep(vault, session, clock.now, OLD, NEW)
    clock.advance(seconds=FIVE_MINUTES.total_seconds() - 0.001)

    assert await client_data.decrypt(session, *encrypted(DATA, OLD)) == Decrypted(DATA, "previous")


async def test_the_previous_key_is_tried_for_five_minutes(
    client_data: ClientData, session: Session, vault: MemoryKeyVault, clock: Clock
) -> None:
    """Five minutes after a new login, data encrypted with the previous key raises DataUndecryptable."""
    await keep(vault, session, clock.now, OLD, NEW)
    clock.advance(seconds=FIVE_MINUTES.total_seconds())

    with pytest.raises(DataUndecryptable) as refused:
        await client_data.decrypt(session, *encrypted(DATA, OLD))
    assert refused.value.retry is Retry.NEW_CODE


@pytest.mark.parametrize("key", [OLD, NEW], ids=["previous", "current"])
@pytest.mark.parametrize(
    "watermark",
    [{}, {"watermark": None}, {"watermark": {"appid": OTHER_APP.value}}, {"watermark": {"timestamp": 1}}],
    ids=str,
)
async def test_data_of_another_app_is_refused(
    client_data: ClientData,
    session: Session,
    vault: MemoryKeyVault,
    clock: Clock,
    key: SessionKey,
    watermark: dict[str, Any],
) -> None:
    """Decrypted data without this app's watermark raises WatermarkMismatch, with either key."""
    await keep(vault, session, clock.now, OLD, NEW)

    with pytest.raises(WatermarkMismatch):
        await client_data.decrypt(session, *encrypted({"phoneNumber": "13800000000", **watermark}, key))


@pytest.mark.parametrize(
    ("data", "key"),
    [
        pytest.param(DATA, OLDEST, id="a key before the one before"),
        pytest.param(DATA, SessionKey(base64.b64encode(bytes(16)).decode()), id="another user's key"),
        pytest.param([DATA], NEW, id="a list"),
        pytest.param("text", NEW, id="text"),
        pytest.param(None, NEW, id="null"),
    ],
)
async def test_all_failures_to_decrypt_are_one_error(
    client_data: ClientData, session: Session, vault: MemoryKeyVault, clock: Clock, data: Any, key: SessionKey
) -> None:
    """A wrong key and wrong content raise the same error with the same text, which shows nothing about the keys."""
    await keep(vault, session, clock.now, OLDEST, OLD, NEW)
    with pytest.raises(DataUndecryptable) as refused:
        await client_data.decrypt(session, *encrypted(data, key))
    with pytest.raises(DataUndecryptable) as random:
        await client_data.decrypt(session, base64.b64encode(bytes(64)).decode(), base64.b64encode(bytes(16)).decode())

    assert refused.value.detail == random.value.detail
    assert not [each for each in (OLDEST, OLD, NEW) if each.value in refused.value.detail]


async def test_malformed_data_is_an_invalid_request(client_data: ClientData, session: Session) -> None:
    """Malformed encryptedData raises RequestInvalid before the vault is read."""
    with pytest.raises(RequestInvalid):
        await client_data.decrypt(session, "not base64", "neither")


async def test_without_a_key_data_is_undecryptable(client_data: ClientData, session: Session) -> None:
    """A user without a stored key gets DataUndecryptable for decrypt and verify."""
    with pytest.raises(DataUndecryptable):
        await client_data.decrypt(session, *encrypted(DATA, NEW))
    with pytest.raises(DataUndecryptable):
        await client_data.verify(session, "{}", signed("{}", NEW))


async def test_a_key_belongs_to_one_account(
    client_data: ClientData, session: Session, vault: MemoryKeyVault, clock: Clock
) -> None:
    """Data is never decrypted with the key of another user, or of the same openid in another app."""
    for other in (Identity(APP, "oBob"), Identity(OTHER_APP, "oAnn")):
        await vault.replace(replace(session, identity=other), NEW, clock.now)

    with pytest.raises(DataUndecryptable):
        await client_data.decrypt(session, *encrypted(DATA, NEW))


@pytest.mark.parametrize(
    ("key", "passed", "is_valid"),
    [
        (NEW, timedelta(days=1), True),
        (OLD, FIVE_MINUTES - timedelta(milliseconds=1), True),
        (OLD, FIVE_MINUTES, False),
        (OLDEST, timedelta(), False),
    ],
    ids=["newest", "before", "before, late", "oldest"],
)
async def test_data_is_verified_under_both_keys(
    client_data: ClientData,
    session: Session,
    vault: MemoryKeyVault,
    clock: Clock,
    key: SessionKey,
    passed: timedelta,
    is_valid: bool,
) -> None:
    """A signature under the newest key, or under the previous key for five minutes, is valid.

    Other signatures are not.
    """
    await keep(vault, session, clock.now, OLDEST, OLD, NEW)
    clock.advance(seconds=passed.total_seconds())
    raw_data = '{"nickName":"李雷"}'

    assert await client_data.verify(session, raw_data, signed(raw_data, key)) is is_valid
    assert await client_data.verify(session, raw_data + " ", signed(raw_data, key)) is False


async def test_wechat_returns_the_time_of_the_data(
    client_data: ClientData, session: Session, platform: MemoryPlatform, clock: Clock
) -> None:
    """WeChat knows the time of data of this app, and not of data of another app."""
    platform.encrypted[APP, "AAAA"] = clock.now
    platform.encrypted[OTHER_APP, "BBBB"] = clock.now

    assert await client_data.encrypted_at(session, "AAAA") == clock.now
    assert await client_data.encrypted_at(session, "BBBB") is None


@pytest.mark.parametrize("key", [OLD, NEW], ids=["previous", "current"])
async def test_data_of_another_user_is_refused(
    client_data: ClientData, session: Session, vault: MemoryKeyVault, clock: Clock, key: SessionKey
) -> None:
    """Decrypted data that names another user raises DataUndecryptable, with either key."""
    await keep(vault, session, clock.now, OLD, NEW)

    with pytest.raises(DataUndecryptable, match="another user"):
        await client_data.decrypt(session, *encrypted(DATA | {"openId": "o-of-another"}, key))


async def test_a_changed_iv_does_not_change_the_user(
    client_data: ClientData, session: Session, vault: MemoryKeyVault, clock: Clock
) -> None:
    """CBC has no MAC, so a changed iv changes the first block, which has the openId.

    The result is DataUndecryptable.
    """
    await keep(vault, session, clock.now, NEW)
    own = {"openId": session.identity.openid} | DATA
    ciphertext, iv = encrypted(own, NEW)
    bits = bytearray(base64.b64decode(iv))
    bits[len('{"openId":"')] ^= 1  # change the first letter of the openid

    with pytest.raises(DataUndecryptable):
        await client_data.decrypt(session, ciphertext, base64.b64encode(bits).decode())


async def test_decryptions_of_a_session_are_limited(
    client_data: ClientData, session: Session, vault: MemoryKeyVault, clock: Clock
) -> None:
    """The 121st call of a session in a minute raises RateLimited.

    Failed calls count, and other sessions are not affected.
    """
    await keep(vault, session, clock.now, NEW)
    for _ in range(DECRYPTIONS.quota - 1):
        await client_data.decrypt(session, *encrypted(DATA, NEW))
    with pytest.raises(DataUndecryptable):
        await client_data.decrypt(session, *encrypted(DATA, OLDEST))
    with pytest.raises(RateLimited) as refused:
        await client_data.decrypt(session, *encrypted(DATA, NEW))

    assert refused.value.retry_after.total_seconds() <= 1
    assert await client_data.decrypt(replace(session, id="other"), *encrypted(DATA, NEW))
