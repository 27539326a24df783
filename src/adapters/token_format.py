"""Access tokens at rest: one sealed text an app, the same in every store."""

import msgspec

from adapters.ciphers import FernetCipher
from domain.access_token import AccessTokenState
from domain.errors import DataUndecryptable

_decode = msgspec.json.Decoder(AccessTokenState).decode


def encode_state(state: AccessTokenState, cipher: FernetCipher) -> str:
    """What is known of a token, as it may rest."""
    return cipher.encrypt(msgspec.json.encode(state).decode())


def decode_state(sealed: str | bytes | None, cipher: FernetCipher) -> AccessTokenState:
    """The same again; nothing is known when nothing is kept, its key is gone, or a newer version wrote it."""
    if not sealed:
        return AccessTokenState()
    try:
        return _decode(cipher.decrypt(sealed))
    except (DataUndecryptable, msgspec.DecodeError):
        return AccessTokenState()
