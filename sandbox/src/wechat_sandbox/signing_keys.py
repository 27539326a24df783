"""The cryptography of API security: AES-256-GCM, and RSA-PSS with SHA-256."""

import secrets
from base64 import b64decode, b64encode
from datetime import UTC, datetime, timedelta
from functools import cached_property

from cryptography import x509
from cryptography.exceptions import InvalidSignature, InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey, generate_private_key
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from wechat_sandbox.errors import ControlRefused

PADDING = PSS(MGF1(SHA256()), salt_length=32)
TAG_BYTES = 16


class Platform:
    """WeChat's key pair and certificate, created at the first use."""

    def __init__(self) -> None:
        self.serial = secrets.token_hex(16)

    def shown(self) -> dict[str, str]:
        """Return what an app needs to verify responses: serial number, public key and certificate."""
        pem = self._key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        certificate = self._certificate.public_bytes(Encoding.PEM).decode()
        return {"platform_sn": self.serial, "platform_public_key": pem, "platform_certificate": certificate}

    def sign(self, signed: bytes) -> str:
        """Return the signature in base64."""
        return b64encode(self._key.sign(signed, PADDING, SHA256())).decode()

    @cached_property
    def _key(self) -> RSAPrivateKey:
        return generate_private_key(65537, 2048)

    @cached_property
    def _certificate(self) -> x509.Certificate:
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "WeChat sandbox")])
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(name, name, self._key.public_key(), x509.random_serial_number())
        dated = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=5 * 365))
        return dated.sign(self._key, SHA256())


def load_public_key(pem: str) -> RSAPublicKey:
    """Return the key in `pem`. Raises ControlRefused if it is not an RSA key."""
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ControlRefused("public_key is no PEM of a public key: -----BEGIN PUBLIC KEY-----…") from error
    if not isinstance(key, RSAPublicKey):
        raise ControlRefused("public_key is of another kind than RSA")
    return key


def verify(public_key: str, signature: str, signed: bytes) -> bool:
    """Return whether the base64 `signature` of `signed` is valid for the public key in the PEM."""
    try:
        load_public_key(public_key).verify(b64decode(signature, validate=True), signed, PADDING, SHA256())
    except (InvalidSignature, ValueError):
        return False
    return True


def seal(plaintext: bytes, key: str, aad: bytes) -> tuple[str, str, str]:
    """Encrypt, and return iv, ciphertext and tag. All of them and `key` are base64."""
    iv = secrets.token_bytes(12)
    sealed = AESGCM(b64decode(key)).encrypt(iv, plaintext, aad)
    parts = (iv, sealed[:-TAG_BYTES], sealed[-TAG_BYTES:])
    return b64encode(parts[0]).decode(), b64encode(parts[1]).decode(), b64encode(parts[2]).decode()


def unseal(iv: str, data: str, tag: str, key: str, aad: bytes) -> bytes:
    """Return the plaintext. Raises ValueError for changed data, and for text that is not base64."""
    sealed = b64decode(data, validate=True) + b64decode(tag, validate=True)
    try:
        return AESGCM(b64decode(key)).decrypt(b64decode(iv, validate=True), sealed, aad)
    except InvalidTag as error:
        raise ValueError("the tag is of other data") from error
