"""The encryption of stored session_keys."""

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st

from adapters.crypto.ciphers import SivCipher
from domain.errors import DataUndecryptable
from domain.session_key import SessionKey

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()
WECHATS = SessionKey("HyVFkGl5F5OQWJZZaNzBBg==")
CIPHER = SivCipher([OLD])

WRITTEN_WITH = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4="
WRITTEN = "b0a99191e7013600a70f7c19f2341f513f31864e2c283c53be51f6ff95543e24"


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40), st.binary())
def test_an_encrypted_key_decrypts_to_itself(text: str, account: bytes) -> None:
    """Any text as a session_key is encrypted and decrypted to the same text."""
    assert CIPHER.decrypt(account, CIPHER.encrypt(account, SessionKey(text))) == SessionKey(text)


def test_an_encrypted_session_key_has_32_bytes() -> None:
    """An encrypted session_key of WeChat has 32 bytes: 16 bytes of the key, and 16 bytes that authenticate it."""
    assert len(CIPHER.encrypt(b"ann", WECHATS)) == 32


def test_the_same_key_of_an_account_has_the_same_ciphertext() -> None:
    """The same key of one account is always encrypted to the same bytes.

    For another account the bytes are different.
    """
    assert CIPHER.encrypt(b"ann", WECHATS) == SivCipher([OLD]).encrypt(b"ann", WECHATS)
    assert CIPHER.encrypt(b"ann", WECHATS) != CIPHER.encrypt(b"bob", WECHATS)
    assert CIPHER.encrypt(b"ann", WECHATS) != SivCipher([NEW]).encrypt(b"ann", WECHATS)


@pytest.mark.parametrize("account", [b"bob", b"", b"ann "])
def test_a_key_encrypted_for_one_account_does_not_decrypt_for_another(account: bytes) -> None:
    """A session_key that is encrypted for one account cannot be decrypted for another."""
    with pytest.raises(DataUndecryptable):
        CIPHER.decrypt(account, CIPHER.encrypt(b"ann", WECHATS))


@pytest.mark.parametrize("position", range(32))
def test_a_changed_bit_is_detected(position: int) -> None:
    """A change of any byte raises DataUndecryptable."""
    sealed = bytearray(CIPHER.encrypt(b"ann", WECHATS))
    sealed[position] ^= 1

    with pytest.raises(DataUndecryptable):
        CIPHER.decrypt(b"ann", bytes(sealed))


def test_the_format_of_encrypted_keys_is_fixed() -> None:
    """A stored value of an earlier release is decrypted, because the derivation of keys is part of the format."""
    assert SivCipher([WRITTEN_WITH]).decrypt(b"ann", bytes.fromhex(WRITTEN)) == WECHATS
