"""The stored form of access tokens: one encrypted text for each app, the same in every store."""

import msgspec

from adapters.crypto.ciphers import FernetCipher
from domain.access_token import AccessTokenState
from domain.errors import DataUndecryptable

_decode = msgspec.json.Decoder(AccessTokenState).decode


def encode_state(state: AccessTokenState, cipher: FernetCipher) -> str:
    """Return the state as encrypted text."""
    return cipher.encrypt(msgspec.json.encode(state).decode())


def decode_state(encrypted: str | bytes | None, cipher: FernetCipher) -> AccessTokenState:
    """Return the state; an empty one if nothing is stored, its key is not configured, or a newer version wrote it."""
    if not encrypted:
        return AccessTokenState()
    try:
        return _decode(cipher.decrypt(encrypted))
    except (DataUndecryptable, msgspec.DecodeError):
        return AccessTokenState()
