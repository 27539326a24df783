"""API signing: encryption and signature of requests, and verification of answers."""

import base64
import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from adapters.wechat.signing import Signer, SigningKeys
from domain.errors import IdentityProviderBadResponse
from domain.identity import AppId
from unit.adapters.wechat import official_signing_vectors as official

KEYS = SigningKeys(
    sym_key=official.SYM_KEY,
    sym_key_sn=official.SYM_KEY_SN,
    private_key=official.PRIVATE_KEY,
    certificate=official.CERTIFICATE,
    certificate_sn=official.CERTIFICATE_SN,
)
APP = AppId(official.APPID)
ANSWERED = datetime.fromtimestamp(official.ANSWER_TIMESTAMP, UTC)
ANSWER = official.ANSWER_BODY.encode()
HEADERS = {
    "Wechatmp-Appid": official.APPID,
    "Wechatmp-TimeStamp": str(official.ANSWER_TIMESTAMP),
    "Wechatmp-Serial": official.CERTIFICATE_SN,
    "Wechatmp-Signature": official.ANSWER_SIGNATURE,
    "Wechatmp-Serial-Deprecated": official.DEPRECATED_SN,
    "Wechatmp-Signature-Deprecated": official.DEPRECATED_SIGNATURE,
}
PSS = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)


def signer(keys: SigningKeys = KEYS, appid: AppId = APP, now: datetime = ANSWERED) -> Signer:
    """Return a signer of the documentation's app, at the time of the sample answer."""
    return Signer(appid, keys, lambda: now)


def opened(headers: dict[str, str] | None = None, body: bytes = ANSWER, by: Signer | None = None) -> bytes:
    """Open the sample answer, with these headers in place of the sample's."""
    return (by or signer()).open(
        official.PATH, httpx2.Headers(HEADERS if headers is None else headers, encoding="latin-1"), body
    )


class OwnWeChat:
    """A WeChat with the test's own keys, which signs any answer."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public = self._key.public_key()
        pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        self.certificate = pem.decode()

    def answer(self, plain: bytes, timestamp: int = official.ANSWER_TIMESTAMP) -> tuple[str, bytes]:
        """Return the signature and the body of an answer."""
        aad = f"{official.URL}|{official.APPID}|{timestamp}|{official.SYM_KEY_SN}".encode()
        iv = bytes(12)
        sealed = AESGCM(base64.b64decode(official.SYM_KEY)).encrypt(iv, plain, aad)
        parts = {"iv": iv, "data": sealed[:-16], "authtag": sealed[-16:]}
        body = json.dumps({name: base64.b64encode(part).decode() for name, part in parts.items()}).encode()
        return self.sign(body, timestamp), body

    def sign(self, body: bytes, timestamp: int = official.ANSWER_TIMESTAMP) -> str:
        """Return the signature of any body."""
        payload = f"{official.URL}\n{official.APPID}\n{timestamp}\n".encode() + body
        return base64.b64encode(self._key.sign(payload, PSS, hashes.SHA256())).decode()


@pytest.fixture(scope="module")
def wechat() -> OwnWeChat:
    """A WeChat whose private key the test has."""
    return OwnWeChat()


@pytest.fixture
def own(wechat: OwnWeChat) -> Signer:
    """A signer that trusts this WeChat."""
    return signer(replace(KEYS, certificate=wechat.certificate))


def test_the_documentations_answer_is_decrypted() -> None:
    """The sample answer of WeChat's documentation is verified and decrypted, byte for byte."""
    assert opened() == official.ANSWER_PLAIN.encode()


def tampered(changes: dict[str, str | None]) -> dict[str, str]:
    """Return the headers of the sample with changes, without those that are None."""
    return {name: value for name, value in {**HEADERS, **changes}.items() if value is not None}


FLIPPED = base64.b64encode(bytes([base64.b64decode(official.ANSWER_SIGNATURE)[0] ^ 1]) + bytes(255)).decode()


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"Wechatmp-Signature": FLIPPED}, id="another signature"),
        pytest.param({"Wechatmp-Signature": official.REQUEST_SIGNATURE}, id="the request's signature"),
        pytest.param({"Wechatmp-Signature": official.DEPRECATED_SIGNATURE}, id="another certificate's signature"),
        pytest.param({"Wechatmp-Signature": ""}, id="an empty signature"),
        pytest.param({"Wechatmp-Signature": "no base64"}, id="a signature that is no base64"),
        pytest.param({"Wechatmp-Signature": "签名".encode().decode("latin-1")}, id="a signature that is no text"),
        pytest.param({"Wechatmp-Signature": None}, id="no signature"),
        pytest.param({"Wechatmp-Serial": official.DEPRECATED_SN}, id="another serial"),
        pytest.param({"Wechatmp-Serial": official.SYM_KEY_SN}, id="the serial of the symmetric key"),
        pytest.param({"Wechatmp-Serial": None}, id="no serial"),
        pytest.param({"Wechatmp-TimeStamp": str(official.REQUEST_TIMESTAMP)}, id="another time"),
        pytest.param({"Wechatmp-TimeStamp": "now"}, id="a time that is none"),
        pytest.param({"Wechatmp-TimeStamp": None}, id="no time"),
        pytest.param(
            {"Wechatmp-Serial": "x", "Wechatmp-Serial-Deprecated": official.CERTIFICATE_SN},
            id="a deprecated signature that is not its certificate's",
        ),
        pytest.param(
            {"Wechatmp-Serial": "x", "Wechatmp-Serial-Deprecated": None, "Wechatmp-Signature-Deprecated": None},
            id="another serial and nothing deprecated",
        ),
    ],
)
def test_wrong_headers_are_refused(changes: dict[str, str | None]) -> None:
    """An answer without WeChat's valid signature and serial raises IdentityProviderBadResponse."""
    with pytest.raises(IdentityProviderBadResponse):
        opened(tampered(changes))


@pytest.mark.parametrize("position", range(0, len(ANSWER), 23))
def test_a_changed_bit_is_refused(position: int) -> None:
    """A changed bit at any place of the body raises IdentityProviderBadResponse."""
    flipped = bytearray(ANSWER)
    flipped[position] ^= 1

    with pytest.raises(IdentityProviderBadResponse):
        opened(body=bytes(flipped))


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"null", ANSWER + b" ", ANSWER[:-1], b"\xff", official.REQUEST_BODY.encode()]
)
def test_another_body_is_refused(body: bytes) -> None:
    """A body that WeChat did not sign raises IdentityProviderBadResponse."""
    with pytest.raises(IdentityProviderBadResponse):
        opened(body=body)


def test_another_apps_answer_is_refused() -> None:
    """The answer to another app raises IdentityProviderBadResponse, even with the same keys."""
    with pytest.raises(IdentityProviderBadResponse):
        opened(by=signer(appid=AppId("wx0123456789abcdef")))


def test_another_calls_answer_is_refused() -> None:
    """The answer to another call raises IdentityProviderBadResponse."""
    with pytest.raises(IdentityProviderBadResponse):
        signer().open("/wxa/business/getuserphonenumber", httpx2.Headers(HEADERS), ANSWER)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"sym_key": base64.b64encode(bytes(32)).decode()}, id="another symmetric key"),
        pytest.param({"sym_key_sn": "0" * 32}, id="another number of the symmetric key"),
        pytest.param({"certificate_sn": "0" * 32}, id="another number of the certificate"),
        pytest.param({"certificate_sn": official.DEPRECATED_SN}, id="the number of the old certificate"),
    ],
)
def test_an_answer_for_other_keys_is_refused(changes: dict[str, str]) -> None:
    """Other keys or numbers than the console's raise IdentityProviderBadResponse, with a hint to the console."""
    with pytest.raises(IdentityProviderBadResponse, match="WeChat console"):
        opened(by=signer(replace(KEYS, **changes)))


@pytest.mark.parametrize(("late", "opens"), [(-300, True), (0, True), (300, True), (300.001, False), (86400, False)])
def test_an_old_answer_is_refused(late: float, opens: bool) -> None:
    """An answer that is more than five minutes old raises IdentityProviderBadResponse, which names the clock."""
    then = signer(now=ANSWERED + timedelta(seconds=late))

    if opens:
        assert opened(by=then) == official.ANSWER_PLAIN.encode()
    else:
        with pytest.raises(IdentityProviderBadResponse, match="clock"):
            opened(by=then)


MARKS = {"_n": "n", "_appid": official.APPID, "_timestamp": official.ANSWER_TIMESTAMP}


def test_an_answer_with_a_public_key_is_decrypted(wechat: OwnWeChat, own: Signer) -> None:
    """A public key is accepted in place of a certificate, and the answer is returned unchanged."""
    plain = json.dumps({**MARKS, "errcode": 0}).encode()
    signature, body = wechat.answer(plain)

    assert opened({**HEADERS, "Wechatmp-Signature": signature}, body, own) == plain


@pytest.mark.parametrize(
    "plain",
    [
        {},
        {**MARKS, "_appid": "wx0123456789abcdef"},
        {**MARKS, "_timestamp": official.ANSWER_TIMESTAMP - 1},
        {**MARKS, "_timestamp": str(official.ANSWER_TIMESTAMP)},
        [MARKS],
        "text",
        5,
        None,
    ],
    ids=lambda plain: json.dumps(plain)[-40:],
)
def test_wrong_marks_in_the_answer_are_refused(wechat: OwnWeChat, own: Signer, plain: Any) -> None:
    """The app and the time in the encrypted answer must equal those in the headers."""
    signature, body = wechat.answer(json.dumps(plain).encode())

    with pytest.raises(IdentityProviderBadResponse):
        opened({**HEADERS, "Wechatmp-Signature": signature}, body, own)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"iv":"","data":"","authtag":""}',
        b'{"iv":"AAAA","data":"AAAA"}',
        b'{"iv":1,"data":2,"authtag":3}',
        b'{"iv":"\xe5\xbe\xae","data":"AAAA","authtag":"AAAA"}',
        b'{"errcode":0,"errmsg":"ok"}',
    ],
)
def test_a_signed_body_that_is_not_encrypted_is_refused(wechat: OwnWeChat, own: Signer, body: bytes) -> None:
    """A body that is signed and not encrypted raises IdentityProviderBadResponse."""
    with pytest.raises(IdentityProviderBadResponse):
        opened({**HEADERS, "Wechatmp-Signature": wechat.sign(body)}, body, own)


def test_the_old_certificate_is_accepted_during_its_replacement(wechat: OwnWeChat, own: Signer) -> None:
    """While WeChat replaces its certificate, the deprecated signature of the old certificate is accepted."""
    plain = json.dumps({**MARKS, "errcode": 0}).encode()
    signature, body = wechat.answer(plain)
    replacing = {
        **HEADERS,
        "Wechatmp-Serial": official.DEPRECATED_SN,
        "Wechatmp-Signature": official.DEPRECATED_SIGNATURE,
        "Wechatmp-Serial-Deprecated": official.CERTIFICATE_SN,
        "Wechatmp-Signature-Deprecated": signature,
    }

    assert opened(replacing, body, own) == plain
    with pytest.raises(IdentityProviderBadResponse):
        opened({**replacing, "Wechatmp-Signature-Deprecated": official.ANSWER_SIGNATURE}, body, own)


def as_wechat(content: bytes, timestamp: int, signature: str) -> dict[str, Any]:
    """Return the content of a request to the sample's path, after the checks that WeChat makes."""
    key = serialization.load_pem_private_key(official.PRIVATE_KEY.encode(), password=None)
    assert isinstance(key, rsa.RSAPrivateKey)
    payload = f"{official.URL}\n{official.APPID}\n{timestamp}\n".encode() + content
    key.public_key().verify(base64.b64decode(signature), payload, PSS, hashes.SHA256())
    envelope = {name: base64.b64decode(part) for name, part in json.loads(content).items()}
    aad = f"{official.URL}|{official.APPID}|{timestamp}|{official.SYM_KEY_SN}".encode()
    cipher = AESGCM(base64.b64decode(official.SYM_KEY))
    plain: dict[str, Any] = json.loads(cipher.decrypt(envelope["iv"], envelope["data"] + envelope["authtag"], aad))
    return plain


def test_the_documentations_request_passes_the_checks() -> None:
    """The sample request of WeChat's documentation passes the checks of this test."""
    read = as_wechat(official.REQUEST_BODY.encode(), official.REQUEST_TIMESTAMP, official.REQUEST_SIGNATURE)

    assert read == json.loads(official.REQUEST_PLAIN)


def test_a_sealed_request_passes_the_checks() -> None:
    """A request is signed and encrypted like the sample, with the app, the time and all parameters."""
    sent = {"code": "c0de", "名": "李雷", "scene": 0}
    content, headers = signer().seal(official.PATH, sent)
    read = as_wechat(content, official.ANSWER_TIMESTAMP, headers["Wechatmp-Signature"])
    nonce = read.pop("_n")

    assert set(headers) == {"Wechatmp-Appid", "Wechatmp-TimeStamp", "Wechatmp-Signature"}
    assert headers["Wechatmp-Appid"] == official.APPID
    assert headers["Wechatmp-TimeStamp"] == str(official.ANSWER_TIMESTAMP)
    assert read == {"_appid": official.APPID, "_timestamp": official.ANSWER_TIMESTAMP, **sent}
    assert 16 <= len(nonce) <= 32
    assert list(json.loads(content)) == list(json.loads(official.REQUEST_BODY))


def test_each_signed_request_has_a_new_nonce_and_iv() -> None:
    """The same request, sealed twice, has a different nonce, a different iv and different bytes."""
    one, two = (signer().seal(official.PATH, {"code": "c0de"})[0] for _ in range(2))

    assert json.loads(one)["iv"] != json.loads(two)["iv"]
    assert json.loads(one)["data"] != json.loads(two)["data"]
    assert b"c0de" not in one


def pem_of(key: Any, encryption: serialization.KeySerializationEncryption | None = None) -> str:
    """Return a private key in PEM."""
    protection = encryption or serialization.NoEncryption()
    pem: bytes = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection)
    return pem.decode()


def with_a_password() -> str:
    """Return an RSA key with a password."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return pem_of(key, serialization.BestAvailableEncryption(b"password"))


SM2_PRIVATE_KEY = """-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqBHM9VAYItBG0wawIBAQQgklH3YwCqOMKyspKx
IKnaW/0tnRkb3u2jeLtcW23PX3GhRANCAARko9dK3L+UR+UGri8UT4yqtvdOPTEV
U5z9RnoF3l36KROQOp9hTJme9l4CkYY86llU0WOJVKQq6E2BDACwYyPH
-----END PRIVATE KEY-----
"""
SM2_PUBLIC_KEY = """-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoEcz1UBgi0DQgAEZKPXSty/lEflBq4vFE+Mqrb3Tj0x
FVOc/UZ6Bd5d+ikTkDqfYUyZnvZeApGGPOpZVNFjiVSkKuhNgQwAsGMjxw==
-----END PUBLIC KEY-----
"""
SM2_CERTIFICATE = """-----BEGIN CERTIFICATE-----
MIIBbTCCAROgAwIBAgIUbIQIUVltp/LrUzFoSueKriTpQ2MwCgYIKoEcz1UBg3Uw
DDEKMAgGA1UEAwwBeDAeFw0yNjExMjMxMzU0MzhaFw0zNjExMjAxMzU0MzhaMAwx
CjAIBgNVBAMMAXgwWTATBgcqhkjOPQIBBggqgRzPVQGCLQNCAARko9dK3L+UR+UG
ri8UT4yqtvdOPTEVU5z9RnoF3l36KROQOp9hTJme9l4CkYY86llU0WOJVKQq6E2B
DACwYyPHo1MwUTAdBgNVHQ4EFgQUo66Ntq3S6VKjhUWgjV0XOOYf/rQwHwYDVR0j
BBgwFoAUo66Ntq3S6VKjhUWgjV0XOOYf/rQwDwYDVR0TAQH/BAUwAwEB/zAKBggq
gRzPVQGDdQNIADBFAiBgazpmFJ0eCPgU+rH+EynhENGJFV8PYf7TYXH75n12IwIh
AIuDjGTrC3RMCn2+xgSAALQW0gkCi9uKSb6/20kLvGTv
-----END CERTIFICATE-----
"""
"""WeChat's console offers SM2 in addition to RSA. These keys were generated for this test."""


@pytest.mark.parametrize(
    ("field", "make"),
    [
        pytest.param("sym_key", lambda: "", id="no symmetric key"),
        pytest.param("sym_key", lambda: "钥匙", id="a symmetric key that is no ASCII"),
        pytest.param("sym_key", lambda: "no base64!", id="a symmetric key that is no base64"),
        pytest.param("sym_key", lambda: base64.b64encode(bytes(16)).decode(), id="a symmetric key of 128 bits"),
        pytest.param("sym_key", lambda: base64.b64encode(bytes(33)).decode(), id="a symmetric key too long"),
        pytest.param("private_key", lambda: "", id="no private key"),
        pytest.param("private_key", lambda: "钥匙", id="a private key that is no PEM"),
        pytest.param("private_key", lambda: official.CERTIFICATE, id="a certificate for a private key"),
        pytest.param("private_key", lambda: official.PRIVATE_KEY[:400], id="half a private key"),
        pytest.param("private_key", lambda: pem_of(ec.generate_private_key(ec.SECP256R1())), id="an EC key"),
        pytest.param("private_key", with_a_password, id="a private key with a password"),
        pytest.param("private_key", lambda: SM2_PRIVATE_KEY, id="a private key of SM2"),
        pytest.param("certificate", lambda: "", id="no certificate"),
        pytest.param("certificate", lambda: official.PRIVATE_KEY, id="a private key for a certificate"),
        pytest.param("certificate", lambda: official.CERTIFICATE[:400], id="half a certificate"),
        pytest.param("certificate", lambda: SM2_CERTIFICATE, id="a certificate of SM2"),
        pytest.param("certificate", lambda: SM2_PUBLIC_KEY, id="a public key of SM2"),
    ],
)
def test_wrong_keys_are_refused_at_once(field: str, make: Callable[[], str]) -> None:
    """A key of a wrong kind raises ValueError when the signer is created, and not at the first request."""
    with pytest.raises(ValueError, match=r"(?s).*") as refused:
        signer(replace(KEYS, **{field: make()}))

    assert make() == "" or re.sub(r"\s", "", make())[:40] not in str(refused.value)


def test_no_key_is_shown() -> None:
    """The repr of keys and of a signer shows no secret."""
    told = f"{KEYS!r} {KEYS!s} {signer()!r}"

    assert official.SYM_KEY not in told
    assert official.PRIVATE_KEY[40:80] not in told
    assert official.SYM_KEY_SN in told
