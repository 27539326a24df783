"""The promises of a TokenSigner, and of its keys. Other libraries make and verify the tokens."""

import json
import time
from collections.abc import Callable, Sequence

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from adapters.jose.token_signer import JoseTokenSigner, generate_key
from application.ports.token_signer import TokenSigner
from support.jwts import ISSUER, Jwk, decoded, encoded, forgeries, sign, signing_key, thumbprint

OLD, NEW, STRANGER = (signing_key() for _ in range(3))
NOW = int(time.time())
CLAIMS: dict[str, str | int] = {
    "iss": ISSUER,
    "sub": "01a2",
    "sid": "5f",
    "aud": "orders",
    "iat": NOW,
    "exp": NOW + 86400,
}

SIGNERS: dict[str, Callable[[Sequence[Jwk]], TokenSigner]] = {"jose": JoseTokenSigner}


@pytest.fixture(params=SIGNERS)
def open_signer(request: pytest.FixtureRequest) -> Callable[..., TokenSigner]:
    """Each adapter, as a function of its keys."""
    return lambda *keys: SIGNERS[request.param](keys)


Open = Callable[..., TokenSigner]


def public_half(key: Jwk) -> Jwk:
    """Return the key without its secret."""
    return {name: value for name, value in key.items() if name != "d"}


def test_another_library_verifies_a_token(open_signer: Open) -> None:
    """PyJWT verifies a token with the published keys, and reads its claims."""
    signer = open_signer(NEW, OLD)
    token = signer.sign(CLAIMS)
    keys = jwt.PyJWKSet.from_dict({"keys": [dict(key) for key in signer.public_keys()]})
    read = jwt.decode_complete(token, keys[thumbprint(NEW)], ["ES256"], issuer=ISSUER, audience="orders")

    assert read["payload"] == CLAIMS
    assert read["header"] == {"typ": "at+jwt", "alg": "ES256", "kid": thumbprint(NEW)}


def test_the_first_key_signs_and_all_verify(open_signer: Open) -> None:
    """A token of any key is verified, and new ones are by the first."""
    before, after = open_signer(OLD, NEW), open_signer(NEW, OLD)
    tokens = [before.sign(CLAIMS), after.sign(CLAIMS)]

    assert [decoded(token.split(".")[0])["kid"] for token in tokens] == [thumbprint(OLD), thumbprint(NEW)]
    assert [signer.verify(token) for signer in (before, after) for token in tokens] == [CLAIMS] * 4
    assert open_signer(NEW).verify(tokens[0]) is None


def test_the_public_halves_are_published(open_signer: Open) -> None:
    """Each key is published with its thumbprint, its use and its algorithm, in order, and without its secret."""
    published = open_signer(NEW, OLD).public_keys()

    assert published == [
        public_half(key) | {"kid": thumbprint(key), "use": "sig", "alg": "ES256"} for key in (NEW, OLD)
    ]


def test_without_a_key_nothing_is_verified(open_signer: Open) -> None:
    """A signer without a key publishes none, and verifies nothing."""
    assert open_signer().public_keys() == []
    assert open_signer().verify(sign(CLAIMS, OLD)) is None


UNCHECKED = {"expired", "another issuer"}
"""What is wrong with claims, which the signer does not check."""

FORGED = forgeries(sign(CLAIMS, OLD), OLD, STRANGER)


@pytest.mark.parametrize("wrong", [name for name in FORGED if name not in UNCHECKED])
def test_a_forged_token_is_not_verified(open_signer: Open, wrong: str) -> None:
    """A token with a wrong algorithm, key, signature or type is not verified, and a good one is."""
    assert open_signer(OLD).verify(FORGED[wrong]) is None
    assert open_signer(OLD).verify(sign(CLAIMS, OLD)) == CLAIMS


HEADERS = st.dictionaries(
    st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk", "jku", "zip"]),
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.text(), st.just("ES256"), st.just("none"), st.lists(st.text())
    ),
)
PARTS = st.one_of(st.text(), st.binary().map(encoded), HEADERS.map(encoded), st.just("[" * 50_000).map(encoded))


@given(st.lists(PARTS, max_size=5).map(".".join))
def test_garbage_is_not_verified(text: str) -> None:
    """Whatever is sent in place of a token is not verified, and raises nothing."""
    assert JoseTokenSigner([OLD]).verify(text) is None


@given(HEADERS, st.sampled_from([b"", b"null", b"[]", b"{", b'"x"', b"\xff", b"{}"]))
def test_a_signed_payload_that_is_no_object_raises_nothing(header: dict[str, object], payload: bytes) -> None:
    """A token of our own key with a strange header or payload raises nothing."""
    text = f"{encoded({**header, 'alg': 'ES256', 'kid': thumbprint(OLD)})}.{encoded(payload)}"
    signature = jwt.get_algorithm_by_name("ES256").sign(text.encode(), jwt.PyJWK(OLD, "ES256").key)

    assert JoseTokenSigner([OLD]).verify(f"{text}.{encoded(signature)}") in (None, {})


def with_part_of(key: Jwk, other: Jwk, *names: str) -> Jwk:
    """Return a key with some parts of another."""
    return key | {name: other[name] for name in names}


WRONG_KEYS: dict[str, tuple[list[Jwk], str]] = {
    "another curve": ([signing_key(ec.SECP384R1())], r"^0: is not a private key on P-256$"),
    "a public key": ([public_half(OLD)], r"^0: is not a private key on P-256$"),
    "another public half": ([with_part_of(OLD, NEW, "x", "y")], r"^0: is not a key of `wxlogin keygen --signing`$"),
    "half of another public half": ([OLD, with_part_of(NEW, OLD, "x")], r"^1: is not a key of"),
    "no base64": ([OLD | {"d": "***"}], r"^0: is not a key of"),
    "too short": ([OLD | {"d": "AAAA"}], r"^0: is not a key of"),
    "empty": ([OLD | {"x": ""}], r"^0: is not a key of"),
    "nothing": ([{}], r"^0: is not a key of"),
    "the same key twice": ([OLD, NEW, OLD], r"^2: the same key is in the list before$"),
    "another kid": ([OLD | {"kid": thumbprint(NEW)}], r"^0: its kid is not its thumbprint"),
}


@pytest.mark.parametrize(("keys", "text"), WRONG_KEYS.values(), ids=WRONG_KEYS)
def test_a_wrong_key_is_refused(open_signer: Open, keys: list[Jwk], text: str) -> None:
    """A list with a key that cannot sign ES256 is refused with its place, and without any part of a key."""
    with pytest.raises(ValueError, match=text) as raised:
        open_signer(*keys)

    assert not [part for key in keys for part in key.values() if len(part) > 8 and part in str(raised.value)]


def test_a_new_key_signs() -> None:
    """A generated key is different each time, has its thumbprint as `kid`, and can sign."""
    one, two = json.loads(generate_key()), json.loads(generate_key())
    signer = JoseTokenSigner([one, two])

    assert one["d"] != two["d"]
    assert one["kid"] == thumbprint(one)
    assert signer.verify(signer.sign(CLAIMS)) == CLAIMS


def test_a_signer_shows_no_key() -> None:
    """The repr of a signer has no part of its private key."""
    signer = JoseTokenSigner([OLD])

    assert OLD["d"] not in repr(signer)
    assert OLD["d"] not in repr(vars(signer))
