"""Signing keys, JWTs made without the service, and readers that verify JWTs as backends do."""

import atexit
import hmac
import json
import shutil
import subprocess
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from support.backends import GO, GO_ENVIRONMENT
from support.processes import clean_environment
from support.sdks.node import NODE, SCRIPTS

ISSUER, AUDIENCE = "https://id.example.com", "orders"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"

Jwk = dict[str, str]
Claims = dict[str, Any]
Reader = Callable[[str, list[str]], list[Claims | None]]
"""Returns the claims of each token that a backend accepts with the keys of this URL, and None for the others."""


def encoded(part: bytes | object) -> str:
    """Return bytes, or an object as JSON, as a part of a JWT."""
    raw = part if isinstance(part, bytes) else json.dumps(part, separators=(",", ":")).encode()
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def decoded(part: str) -> Any:
    """Return the object in a part of a JWT."""
    return json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def signing_key(curve: ec.EllipticCurve | None = None) -> Jwk:
    """Return a new private key on P-256, or on another curve, as a JSON Web Key."""
    curve = curve or ec.SECP256R1()
    numbers = ec.generate_private_key(curve).private_numbers()
    size = (curve.key_size + 7) // 8
    parts = {"x": numbers.public_numbers.x, "y": numbers.public_numbers.y, "d": numbers.private_value}
    name = {"secp256r1": "P-256", "secp384r1": "P-384"}[curve.name]
    return {"kty": "EC", "crv": name} | {name: encoded(number.to_bytes(size)) for name, number in parts.items()}


def thumbprint(key: Jwk) -> str:
    """Return the thumbprint of a key by RFC 7638 section 3."""
    text = json.dumps({name: key[name] for name in ("crv", "kty", "x", "y")}, separators=(",", ":"))
    return encoded(sha256(text.encode()).digest())


def signing(*keys: Jwk, **more: str) -> dict[str, str]:
    """Return the settings of a service that signs with these keys."""
    given = {"issuer": ISSUER, "audiences": f"{AUDIENCE},payments", "signing_keys": json.dumps(keys)}
    return given | more


def exchange(session_token: str, **changes: str) -> dict[str, str]:
    """Return the form of a token exchange."""
    form = {"grant_type": EXCHANGE, "subject_token": session_token, "subject_token_type": ACCESS_TOKEN}
    return {**form, "audience": AUDIENCE, **changes}


def sign(claims: Claims, key: Jwk, **header: Any) -> str:
    """Return a JWT by PyJWT, which the service would make if it had this key."""
    return jwt.encode(
        claims, jwt.PyJWK(key, "ES256").key, "ES256", headers={"typ": "at+jwt", "kid": thumbprint(key), **header}
    )


def forgeries(token: str, key: Jwk, other: Jwk) -> dict[str, str]:
    """Return JWTs that no one may accept, by what is wrong. `token` is a good one by `key`; `other` is a stranger's."""
    head, body, signature = token.split(".")
    header, claims = decoded(head), decoded(body)
    public = jwt.PyJWK(key, "ES256").key.public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    confused = f"{encoded({**header, 'alg': 'HS256'})}.{body}"
    return {
        "no algorithm": f"{encoded({**header, 'alg': 'none'})}.{body}.",
        "no signature": f"{head}.{body}.",
        "the public key as a secret": f"{confused}.{encoded(hmac.digest(pem, confused.encode(), sha256))}",
        "a stranger's key": sign(claims, other),
        "a stranger's key under our kid": sign(claims, other, kid=header["kid"]),
        "a stranger's key in the header": sign(claims, other, jwk={k: v for k, v in other.items() if k != "d"}),
        "other claims": f"{head}.{encoded({**claims, 'sub': 'admin'})}.{signature}",
        "expired": sign({**claims, "iat": claims["iat"] - 600, "exp": claims["iat"] - 300}, key),
        "another issuer": sign({**claims, "iss": "https://other.example.com"}, key),
        "another type": sign(claims, key, typ="JWT"),
        "a signature of DER": f"{head}.{body}.{encoded(der_of(signature))}",
        "critical": sign(claims, key, crit=["unknown"], unknown=True),
    }


def der_of(signature: str) -> bytes:
    """Return a signature of a JWT in the form that other protocols have."""
    raw = urlsafe_b64decode(signature + "==")
    return encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))


def read_by_pyjwt(jwks_url: str, tokens: list[str]) -> list[Claims | None]:
    """See Reader: PyJWT."""
    keys = jwt.PyJWKClient(jwks_url)
    return [_read_by_pyjwt(keys, token) for token in tokens]


def _read_by_pyjwt(keys: jwt.PyJWKClient, token: str) -> Claims | None:
    try:
        key = keys.get_signing_key_from_jwt(token)
        read = jwt.decode_complete(token, key, ["ES256"], issuer=ISSUER, audience=AUDIENCE)
    except jwt.PyJWTError:
        return None
    claims: Claims = read["payload"]
    return claims if read["header"].get("typ") == "at+jwt" else None


def read_by_jose(jwks_url: str, tokens: list[str]) -> list[Claims | None]:
    """See Reader: `jose` on Node.js."""
    return _run([str(NODE), str(SCRIPTS / "jwt.mjs")], jwks_url, tokens)


def read_by_go(jwks_url: str, tokens: list[str]) -> list[Claims | None]:
    """See Reader: Go's standard library."""
    return _run([_go_program()], jwks_url, tokens)


@cache
def _go_program() -> str:
    """Build the reader, and return its path. See backends.go_program."""
    source, program = SCRIPTS.parent / "go", Path(mkdtemp(prefix="wxlogin-reader-")) / "read"
    atexit.register(shutil.rmtree, program.parent)
    env = clean_environment() | GO_ENVIRONMENT
    subprocess.run([GO, "build", "-o", str(program), "."], cwd=source, env=env, check=True)
    return str(program)


def _run(command: list[str], jwks_url: str, tokens: list[str]) -> list[Claims | None]:
    """Run a reader: its input are the tokens, and its output is a line for each, with the claims or null."""
    env = clean_environment() | {"JWKS_URL": jwks_url, "ISSUER": ISSUER, "AUDIENCE": AUDIENCE, "NO_PROXY": "127.0.0.1"}
    done = subprocess.run(
        command, input="".join(f"{token}\n" for token in tokens), env=env, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


READERS: dict[str, Reader] = {"PyJWT": read_by_pyjwt, "jose": read_by_jose, "Go": read_by_go}
