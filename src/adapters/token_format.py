"""Access tokens at rest: one sealed text an app, the same in every store."""

import msgspec

from adapters.sealing import Sealer
from domain.access_token import TokenState
from domain.errors import DataUndecryptable

_decode = msgspec.json.Decoder(TokenState).decode


def seal(state: TokenState, sealer: Sealer) -> str:
    """What is known of a token, as it may rest."""
    return sealer.seal(msgspec.json.encode(state).decode())


def unseal(sealed: str | bytes | None, sealer: Sealer) -> TokenState:
    """The same again; nothing is known when nothing is kept, its key is gone, or a newer version wrote it."""
    if not sealed:
        return TokenState()
    try:
        return _decode(sealer.open(sealed))
    except (DataUndecryptable, msgspec.DecodeError):
        return TokenState()
