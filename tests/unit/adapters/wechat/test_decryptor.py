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
    """Whole blocks, encrypted."""
    encryptor = Cipher(algorithms.AES128(KEY), modes.CBC(IV)).encryptor()
    return EncryptedData(encryptor.update(padded) + encryptor.finalize(), IV)


def encrypted(plain: bytes) -> EncryptedData:
    """As WeChat does it."""
    padder = PKCS7(128).padder()
    return aes(padder.update(plain) + padder.finalize())


SEALED = encrypted(json.dumps(DATA).encode())


def test_wechats_own_sample_opens() -> None:
    """The sample of WeChat's documentation opens with its key."""
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
def test_any_object_opens(data: dict[str, Any]) -> None:
    """Whatever object WeChat encrypted comes back as it was, of any length and script."""
    assert WeChatDecryptor().decrypt(encrypted(json.dumps(data, ensure_ascii=False).encode()), SESSION_KEY) == data


@pytest.mark.parametrize("bit", range(128))
def test_a_flipped_bit_in_the_last_block_opens_nothing(bit: int) -> None:
    """One bit that was lost in the last block, and the data is DataUndecryptable."""
    flipped = bytearray(SEALED.ciphertext)
    flipped[bit // 8 - 16] ^= 1 << bit % 8

    with pytest.raises(DataUndecryptable):
        WeChatDecryptor().decrypt(EncryptedData(bytes(flipped), IV), SESSION_KEY)


@given(st.binary(min_size=16, max_size=16).filter(lambda key: key != KEY))
@settings(max_examples=100)
def test_a_wrong_key_opens_nothing(key: bytes) -> None:
    """Any other key is DataUndecryptable, whether it shows in the padding or in what comes out."""
    with pytest.raises(DataUndecryptable):
        WeChatDecryptor().decrypt(SEALED, SessionKey(base64.b64encode(key).decode()))


@given(
    st.binary(min_size=16, max_size=16),
    st.integers(1, 4).flatmap(lambda n: st.binary(min_size=16 * n, max_size=16 * n)),
)
@settings(max_examples=100)
def test_any_bytes_are_undecryptable_and_no_defect(iv: bytes, ciphertext: bytes) -> None:
    """Whatever blocks a client makes up, there is one error for them."""
    with pytest.raises(DataUndecryptable):
        WeChatDecryptor().decrypt(EncryptedData(ciphertext, iv), SESSION_KEY)


@pytest.mark.parametrize(
    "end", [bytes(16), b"}" + bytes(15), b"}" + b"\x11" * 15, b"} " + b"\x0e" * 13 + b"\x0f", b"}" * 16], ids=repr
)
def test_a_wrong_padding_opens_nothing(end: bytes) -> None:
    """Data whose last block has no PKCS#7 padding is DataUndecryptable, though the rest would be fine."""
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
    """Padding that fits does not make JSON, UTF-8 or an object of anything."""
    with pytest.raises(DataUndecryptable):
        WeChatDecryptor().decrypt(encrypted(plain), SESSION_KEY)


@pytest.mark.parametrize(
    "key",
    ["", "no base64", "钥匙", "AAAA", base64.b64encode(bytes(15)).decode(), base64.b64encode(bytes(24)).decode()],
    ids=ascii,
)
def test_a_key_that_is_none_opens_nothing(key: str) -> None:
    """A session_key that is no base64 of 16 bytes is DataUndecryptable: a new login brings another."""
    with pytest.raises(DataUndecryptable) as refused:
        WeChatDecryptor().decrypt(SEALED, SessionKey(key))

    assert not key or key not in f"{refused.value!r} {refused.value.detail}"


def test_every_failure_is_told_in_the_same_words() -> None:
    """Nobody learns from the error what was wrong: the padding, the JSON or the key."""
    details = set()
    for data, key in [(aes(bytes(32)), SESSION_KEY), (encrypted(b"[]"), SESSION_KEY), (SEALED, SessionKey("AAAA"))]:
        with pytest.raises(DataUndecryptable) as refused:
            WeChatDecryptor().decrypt(data, key)
        details.add(refused.value.detail)
        assert refused.value.__cause__ is None

    assert len(details) == 1
