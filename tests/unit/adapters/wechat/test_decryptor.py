"""AES-128-CBC with PKCS#7, as WeChat encrypts data for the server."""

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.wechat.decryptor import WeChatDecryptor
from domain.client_data import EncryptedData
from domain.errors import DataUndecryptable
from domain.session_key import SessionKey

SAMPLE_KEY = SessionKey("tiihtNczf5v6AKRyjwEUhQ==")
SAMPLE_IV = "r7BXXKkLb8qrSNn05n0qiA=="
SAMPLE_DATA = (
    "CiyLU1Aw2KjvrjMdj8YKliAjtP4gsMZMQmRzooG2xrDcvSnxIMXFufNstNGTyaGS9uT5geRa0W4oTOb1WT7fJlAC+oNPdbB+3hVbJSRgv+4lGOETKUQz6O"
    "YStslQ142dNCuabNPGBzlooOmB231qMM85d2/fV6ChevvXvQP8Hkue1poOFtnEtpyxVLW1zAo6/1Xx1COxFvrc2d7UL/lmHInNlxuacJXwu0fjpXfz/YqY"
    "zBIBzD6WUfTIF9GRHpOn/Hz7saL8xz+W//FRAUid1OksQaQx4CMs8LOddcQhULW4ucetDf96JcR3g0gfRK4PC7E/r7Z6xNrXd2UIeorGj5Ef7b1pJAYB6Y"
    "5anaHqZ9J6nKEBvB4DnNLIVWSgARns/8wR2SiRS7MNACwTyrGvt9ts8p12PKFdlqYTopNHR1Vf7XjfhQlVsAJdNiKdYmYVoKlaRv85IfVunYzO0IKXsyl7"
    "JCUjCpoG20f0a04COwfneQAGGwd5oa+T8yO5hzuyDb/XcxxmK01EpqOyuxINew=="
)
"""The sample of WeChat's documentation (aes-sample.zip at framework/open-ability/signature.html)."""

KEY, IV = bytes(range(16)), bytes(range(16, 32))
SESSION_KEY = SessionKey(base64.b64encode(KEY).decode())
DATA = {"phoneNumber": "13800000000", "watermark": {"appid": "wx0123456789abcdef", "timestamp": 1477314187}}


def aes(padded: bytes) -> EncryptedData:
    """Return whole blocks, encrypted."""
    encryptor = Cipher(algorithms.AES128(KEY), modes.CBC(IV)).encryptor()
    return EncryptedData(encryptor.update(padded) + encryptor.finalize(), IV)


def encrypted(plain: bytes) -> EncryptedData:
    """Return the data as WeChat encrypts it."""
    padder = PKCS7(128).padder()
    return aes(padder.update(plain) + padder.finalize())


SEALED = encrypted(json.dumps(DATA).encode())


def test_wechats_own_sample_is_decrypted() -> None:
    """The sample of WeChat's documentation is decrypted with its key."""
    opened = WeChatDecryptor().decrypt(EncryptedData.parse(SAMPLE_DATA, SAMPLE_IV), SAMPLE_KEY)

    assert opened["openId"] == "oGZUI0egBJY1zhBYw2KhdUfwVJJE"
    assert opened["nickName"] == "Band"
    assert opened["watermark"] == {"timestamp": 1477314187, "appid": "wx4f4bc4dec97d474b"}


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"])),
        st.integers(-(2**63), 2**63) | st.booleans() | st.none() | st.text(st.characters(exclude_categories=["Cs"])),
    )
)
@settings(max_examples=50)
def test_any_object_is_decrypted(data: dict[str, Any]) -> None:
    """Any object that WeChat encrypted is decrypted unchanged."""
    assert WeChatDecryptor().decrypt(encrypted(json.dumps(data, ensure_ascii=False).encode()), SESSION_KEY) == data


@pytest.mark.parametrize("bit", range(128))
def test_a_changed_bit_in_the_last_block_is_undecryptable(bit: int) -> None:
    """A changed bit in the last block raises DataUndecryptable."""
    flipped = bytearray(SEALED.ciphertext)
    flipped[bit // 8 - 16] ^= 1 << bit % 8

    with pytest.raises(DataUndecryptable):
        WeChatDecryptor().decrypt(EncryptedData(bytes(flipped), IV), SESSION_KEY)


@given(st.binary(min_size=16, max_size=16).filter(lambda key: key != KEY))
@settings(max_examples=100)
def test_a_wrong_key_is_undecryptable(key: bytes) -> None:
    """A wrong key raises DataUndecryptable, when the padding is wrong and when the content is."""
    with pytest.raises(DataUndecryptable):
        WeChatDecryptor().decrypt(SEALED, SessionKey(base64.b64encode(key).decode()))


@given(
    st.binary(min_size=16, max_size=16),
    st.integers(1, 4).flatmap(lambda n: st.binary(min_size=16 * n, max_size=16 * n)),
)
@settings(max_examples=100)
def test_random_bytes_are_undecryptable(iv: bytes, ciphertext: bytes) -> None:
    """Random blocks raise DataUndecryptable, and no other error."""
    with pytest.raises(DataUndecryptable):
        WeChatDecryptor().decrypt(EncryptedData(ciphertext, iv), SESSION_KEY)


@pytest.mark.parametrize(
    "end", [bytes(16), b"}" + bytes(15), b"}" + b"\x11" * 15, b"} " + b"\x0e" * 13 + b"\x0f", b"}" * 16], ids=repr
)
def test_a_wrong_padding_is_undecryptable(end: bytes) -> None:
    """A wrong PKCS#7 padding raises DataUndecryptable, even when the rest is correct."""
    start = b'{"watermark":1  '

    with pytest.raises(DataUndecryptable):
        WeChatDecryptor().decrypt(aes(start + end), SESSION_KEY)


@pytest.mark.parametrize(
    "plain",
    [
        b"",
        b"[]",
        b'[{"watermark":1}]',
        b"null",
        b"5",
        b'"text"',
        b'{"a":',
        b'{"a":1}{',
        b'{"a":"\xff"}',
        b"\xff\xfe{}",
        b"[" * 60_000,
    ],
    ids=lambda plain: repr(plain[:16]),
)
def test_plaintext_that_is_not_a_json_object_is_undecryptable(plain: bytes) -> None:
    """Correctly padded data that is not a JSON object in UTF-8 raises DataUndecryptable."""
    with pytest.raises(DataUndecryptable):
        WeChatDecryptor().decrypt(encrypted(plain), SESSION_KEY)


@pytest.mark.parametrize(
    "key",
    ["", "no base64", "钥匙", "AAAA", base64.b64encode(bytes(15)).decode(), base64.b64encode(bytes(24)).decode()],
    ids=ascii,
)
def test_a_malformed_key_is_undecryptable(key: str) -> None:
    """A session_key that is not base64 of 16 bytes raises DataUndecryptable, because a new login brings another one."""
    with pytest.raises(DataUndecryptable) as refused:
        WeChatDecryptor().decrypt(SEALED, SessionKey(key))

    assert not key or key not in f"{refused.value!r} {refused.value.detail}"


def test_every_failure_has_the_same_text() -> None:
    """A wrong padding, wrong content and a wrong key raise the same error with the same text."""
    details = set()
    for data, key in [(aes(bytes(32)), SESSION_KEY), (encrypted(b"[]"), SESSION_KEY), (SEALED, SessionKey("AAAA"))]:
        with pytest.raises(DataUndecryptable) as refused:
            WeChatDecryptor().decrypt(data, key)
        details.add(refused.value.detail)
        assert refused.value.__cause__ is None

    assert len(details) == 1
