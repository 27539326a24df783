"""TokenSigner by joserfc: ES256 (RFC 7518 section 3.4)."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, KeyParameters, KeySet

from application.ports.token_signer import TokenSigner
from domain.signed_token import TOKEN_TYPE, Claims

ALGORITHM, CURVE = "ES256", "P-256"
PARAMETERS: KeyParameters = {"use": "sig", "alg": ALGORITHM}


def generate_key() -> str:
    """Return a new private key, as a JSON Web Key. Its `kid` is its thumbprint (RFC 7638)."""
    key = ECKey.generate_key(CURVE, PARAMETERS, private=True, auto_kid=True)
    return json.dumps(key.as_dict(private=True), separators=(",", ":"))


class JoseTokenSigner(TokenSigner):
    """Signs with ES256. The `kid` of a token is the thumbprint of its key (RFC 7638).

    Raises ValueError for a key that is none, that is no private key on P-256, whose `kid` is not its thumbprint, or
    that is there twice. The text names the key by its place in the list, from 0, and contains no part of it.
    """

    def __init__(self, private_keys: Sequence[Mapping[str, str]]) -> None:
        self._keys = [_import(key, place) for place, key in enumerate(private_keys)]
        kids = [key.kid for key in self._keys]
        if repeated := [place for place, kid in enumerate(kids) if kid in kids[:place]]:
            raise ValueError(f"{repeated[0]}: the same key is in the list before")
        self._key_set = KeySet(list[Key](self._keys))
        self._header = {"typ": TOKEN_TYPE, "alg": ALGORITHM, "kid": kids[0]} if kids else {}

    def sign(self, claims: Claims) -> str:
        """See TokenSigner."""
        return jwt.encode(self._header, claims, self._keys[0], algorithms=[ALGORITHM])

    def verify(self, token: str) -> Mapping[str, Any] | None:
        """See TokenSigner. The header must be one that `sign` makes."""
        try:
            verified = jwt.decode(token, self._key_set, algorithms=[ALGORITHM])
        except (JoseError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
            return None
        return verified.claims if verified.header.get("typ") == TOKEN_TYPE else None

    def public_keys(self) -> Sequence[Mapping[str, str]]:
        """See TokenSigner."""
        return [{name: str(value) for name, value in key.as_dict(private=False).items()} for key in self._keys]


def _import(private_key: Mapping[str, str], place: int) -> ECKey:
    """Return the key with its thumbprint as `kid`."""
    named = private_key.get("kid")
    given: dict[str, str | list[str]] = {name: value for name, value in private_key.items() if name != "kid"}
    try:
        key = ECKey.import_key(given, PARAMETERS)
        key.ensure_kid()
        usable = key.is_private and key.curve_name == CURVE
    except (JoseError, ValueError, TypeError, KeyError):
        raise ValueError(f"{place}: is not a key of `wxlogin keygen --signing`") from None
    if not usable:
        raise ValueError(f"{place}: is not a private key on {CURVE}")
    if named not in (None, key.kid):
        raise ValueError(f"{place}: its kid is not its thumbprint; leave the kid out")
    return key
