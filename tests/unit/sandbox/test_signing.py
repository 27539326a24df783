"""API security: signed and encrypted calls."""

import json
import secrets
import time
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_curve_key
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey, generate_private_key
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from wechat_sandbox.errors import WeChatError
from wechat_sandbox.requests import Request
from wechat_sandbox.signing import Signing, SigningApp

pytestmark = pytest.mark.anyio

Ask = Callable[..., Awaitable[dict[str, Any]]]
APPID, OTHER = "wx0123456789abcdef", "wxfedcba9876543210"
PATH = "/wxa/business/getuserphonenumber"
HOST = "https://api.weixin.qq.com"
PADDING = PSS(MGF1(SHA256()), salt_length=32)

SAMPLE_APPID = "wxba6223c06417af7b"
SAMPLE_PUBLIC_KEY = """\
-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA3FoQOmOl5/CF5hF7ta4E
zCy2LaU3Eu2k9DBwQ73J82I53Sx9LAgM1DH3IsYohRRx/BESfbdDI2powvr6QYKV
IC+4Yavwg7gzhZRxWWmT1HruEADCZAgkUCu+9Il/9FPuitPSoIpBd07NqdkkRe82
NBOfrKTdhge/5zd457fl7J81Q5VTIxO8vvq7FSw7k6Jtv+eOjR6SZOWbbUO7f9r4
UuUkXmvdGv21qiqtaO1EMw4tUCELzY73M7NpCH3RorlommYX3P6q0VrkDHrCE0/Q
MhmHsF+46E+IRcJ3wtEj3p/mO1VoCpEhawC1U728ZUTwWNEii8hPEhcNAZTKaQMa
TQIDAQAB
-----END PUBLIC KEY-----
"""
SAMPLE_BODY = (
    '{"iv":"fmW/zNxXlytUZBgj","data":"0IDVdrPtSPF/Oe2CTXCV2vVNPbVJdJlP2WaTMQnoYLh5iCrrSNfQFh25EnStDMf0hLl'
    "VNBCZQtf9NaV0m4aRA4AAYIO7oR/Ge+4yY4EmZp5EVPB42xjScgMx5X3D4VdLCfynXIUKUtZHZvk1zmLVE3RauzJgiM1BB1CPmwc"
    'ENo3MTJ0z8Vfkf5tMv54kOXobDLlV5rfqKdAX7gM/rP82DgZdt9vvZX44ipdbHIjJvw83ZXAFtvftdVw2Qd8=","authtag":"5q'
    'eM/2vZv+6KtScN94IpMg=="}'
)
SAMPLE_SIGNATURE = (
    "wcSSWHZunjz9VKl9q+If9deiyECXDAELfAJNZ4+5T+NhFr8zfhkwdQtlgQ7nN5xs99R57La9UjBTRBGge2KYyshWtw7HIMPAqWNs"
    "npHvx0b2f7s6Bt7OpfOQLlIfNgepgTVmUwrqW8/7A12szj7tCe/bRFilwnaX6N0w4duHlfL7ic7IIZXouvy9dLRAa5GtEk1eD/LP"
    "WRiKh0SvJ3znPY/pSiQW9zSkXVdj9UGGM8qcKLzPGJ7gSmt3ZOPkFapk9wqFmhJwQj//xN5+hUlr2UiNPMNSHve5Y2ADLsNHqk5t"
    "7RfAZ8nW9/8lzhVt4t+toy1FeehxCGIC8qgmjIl1hg=="
)


def sample_signing(now: float = 1635927954) -> Signing:
    """Return the app of WeChat's sample, with its keys."""
    signing = Signing(lambda: now)
    key, serial = "otUpngOjU+nVQaWJIC3D/yMLV17RKaP6t4Ot9tbnzLY=", "fa05fe1e5bcc79b81ad5ad4b58acf787"
    signing._apps[SAMPLE_APPID] = SigningApp(SAMPLE_APPID, SAMPLE_PUBLIC_KEY, True, key, serial)
    return signing


def sample_request(**headers: str) -> Request:
    """Return the request of WeChat's sample."""
    sent = {"appid": SAMPLE_APPID, "timestamp": "1635927954", "signature": SAMPLE_SIGNATURE} | headers
    named = {f"wechatmp-{name}": value for name, value in sent.items() if value}
    return Request("POST", "/wxa/getuserriskrank", {}, SAMPLE_BODY.encode(), named, SAMPLE_APPID)


@dataclass
class App:
    """A server that signs, written only from WeChat's documentation."""

    client: httpx2.AsyncClient
    token: str
    console: dict[str, str]
    key: RSAPrivateKey
    appid: str = APPID
    headers: dict[str, str] = field(default_factory=dict)

    async def send(self, path: str = PATH, **fields: object) -> httpx2.Response:
        """Send a signed call, with these headers in place of the correct ones."""
        now = int(time.time())
        guards = {"_n": secrets.token_urlsafe(), "_appid": self.appid, "_timestamp": now}
        iv = secrets.token_bytes(12)
        sealed = AESGCM(b64decode(self.console["sym_key"])).encrypt(
            iv, json.dumps(guards | fields).encode(), self.aad(path, str(now))
        )
        parts = {"iv": iv, "data": sealed[:-16], "authtag": sealed[-16:]}
        body = json.dumps({name: b64encode(part).decode() for name, part in parts.items()})
        signed = f"{HOST}{path}\n{self.appid}\n{now}\n{body}".encode()
        headers = {
            "Wechatmp-Appid": self.appid,
            "Wechatmp-TimeStamp": str(now),
            "Wechatmp-Signature": b64encode(self.key.sign(signed, PADDING, SHA256())).decode(),
        }
        sent = {name: value for name, value in (headers | self.headers).items() if value}
        return await self.client.post(path, params={"access_token": self.token}, content=body, headers=sent)

    def read(self, answer: httpx2.Response, path: str = PATH) -> dict[str, Any]:
        """Verify and decrypt an answer."""
        timestamp = answer.headers["Wechatmp-TimeStamp"]
        assert answer.headers["Wechatmp-Appid"] == self.appid
        assert answer.headers["Wechatmp-Serial"] == self.console["platform_sn"]
        certificate = x509.load_pem_x509_certificate(self.console["platform_certificate"].encode())
        platform = certificate.public_key()
        assert isinstance(platform, RSAPublicKey)
        signed = f"{HOST}{path}\n{self.appid}\n{timestamp}\n".encode() + answer.content
        platform.verify(b64decode(answer.headers["Wechatmp-Signature"]), signed, PADDING, SHA256())
        parts = {name: b64decode(part) for name, part in answer.json().items()}
        cipher = AESGCM(b64decode(self.console["sym_key"]))
        plain = cipher.decrypt(parts["iv"], parts["data"] + parts["authtag"], self.aad(path, timestamp))
        fields: dict[str, Any] = json.loads(plain)
        assert fields.pop("_appid") == self.appid
        assert fields.pop("_timestamp") == int(timestamp)
        assert fields.pop("_n")
        return fields

    def aad(self, path: str, timestamp: str) -> bytes:
        """Return the data that is authenticated in addition to the ciphertext."""
        return f"{HOST}{path}|{self.appid}|{timestamp}|{self.console['sym_key_sn']}".encode()


@pytest.fixture(scope="module")
def key() -> RSAPrivateKey:
    """The key pair of an app."""
    return generate_private_key(65537, 2048)


@pytest.fixture
async def app(client: httpx2.AsyncClient, control: Ask, key: RSAPrivateKey) -> App:
    """A registered app."""
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    console = await control("/signing", appid=APPID, public_key=pem)
    order = {"grant_type": "client_credential", "appid": APPID, "secret": "0" * 32}
    token = (await client.post("/cgi-bin/stable_token", json=order)).json()["access_token"]
    return App(client, token, console, key)


def test_wechats_sample_is_verified_and_decrypted() -> None:
    """The sample request of WeChat's documentation is verified, and decrypted to the documented fields."""
    opened = sample_signing().open(sample_request())

    assert opened.signed
    assert opened.json() == {
        "appid": SAMPLE_APPID,
        "openid": "oEWzBfmdLqhFS2mTXCo2E4Y9gJAM",
        "scene": 0,
        "client_ip": "127.0.0.1",
    }
    assert opened.parameter("client_ip") == "127.0.0.1"


@pytest.mark.parametrize(
    ("headers", "errcode"),
    [
        ({"appid": "", "timestamp": "", "signature": ""}, 40233),
        ({"timestamp": "", "signature": ""}, 40231),
        ({"signature": ""}, 40232),
        ({"appid": "gh_0123456789ab"}, 40236),
        ({"appid": OTHER}, 40237),
        ({"timestamp": "1635927955"}, 40234),
        ({"timestamp": "soon"}, 40240),
        ({"timestamp": "1635927653"}, 40240),
        ({"timestamp": "1635928255"}, 40240),
        ({"signature": "not base64"}, 40234),
        ({"signature": "AAAA"}, 40234),
    ],
)
def test_a_wrong_header_has_its_errcode(headers: dict[str, str], errcode: int) -> None:
    """A header that is missing, of another app, too old or of another body has its own errcode."""
    with pytest.raises(WeChatError) as refused:
        sample_signing().open(sample_request(**headers))

    assert refused.value.errcode == errcode


@pytest.mark.parametrize("age", [300, -300])
def test_a_signature_is_valid_for_five_minutes(age: int) -> None:
    """A request may be 300 seconds late or early."""
    assert sample_signing(1635927954 + age).open(sample_request()).signed


async def test_a_signed_call_is_executed(app: App, control: Ask) -> None:
    """A signed call is executed, and its answer is signed and encrypted."""
    code = (await control("/phone-codes", appid=APPID, phone="13800138000"))["code"]

    fields = app.read(await app.send(code=code))

    assert fields["errcode"] == 0
    assert fields["phone_info"]["purePhoneNumber"] == "13800138000"


async def test_a_refusal_of_a_signed_call_is_encrypted(app: App) -> None:
    """An errcode of a signed call is in an encrypted answer."""
    fields = app.read(await app.send(code="unknown"))

    assert fields["errcode"] == 40029


async def test_the_list_of_calls_shows_no_signed_content(app: App, client: httpx2.AsyncClient) -> None:
    """The list of calls shows neither the ciphertext nor the signature."""
    answer = await app.send(code="unknown")
    shown = (await client.get("/sandbox/calls")).text
    sent = json.loads(answer.request.content)

    assert answer.request.headers["Wechatmp-Signature"] not in shown
    assert [part for part in sent.values() if part in shown] == []


@pytest.mark.parametrize("path", ["/wxa/business/getuserencryptkey", "/wxa/business/checkencryptedmsg"])
async def test_other_calls_can_be_signed_too(app: App, path: str) -> None:
    """The parameters of a signed call are in its body, for calls that otherwise have them in the URL too."""
    fields = app.read(await app.send(path, openid="o-nobody", encrypted_msg_hash="0" * 64), path)

    assert fields["errcode"] in {1, 40003}


async def test_a_picture_of_a_signed_call_is_not_signed(app: App) -> None:
    """A signed call is answered with a plain picture, and with a signed and encrypted refusal."""
    path = "/wxa/getwxacodeunlimit"
    drawn = await app.send(path, scene="a")
    refused = await app.send(path, scene="")

    assert drawn.headers["content-type"] == "image/png"
    assert "Wechatmp-Signature" not in drawn.headers
    assert app.read(refused, path)["errcode"] == 40169


async def test_a_body_for_another_key_or_serial_is_40235(app: App) -> None:
    """A body under another key or serial is an unencrypted 40235."""
    app.console["sym_key_sn"] = "0" * 32

    answer = await app.send(code="unknown")

    assert answer.json()["errcode"] == 40235
    assert answer.json()["errmsg"].startswith("invalid encrypt rid: ")
    assert "Wechatmp-Signature" not in answer.headers


async def test_a_signature_with_another_key_is_40234(app: App) -> None:
    """A signature with another key is an unencrypted 40234."""
    app.key = generate_private_key(65537, 2048)

    answer = await app.send(code="unknown")

    assert answer.json()["errcode"] == 40234
    assert answer.json()["errmsg"].startswith("invalid signature rid: ")


async def test_an_answer_is_bound_to_its_path_and_key(app: App) -> None:
    """An answer for another path or under another key is not verified or not decrypted."""
    answer = await app.send(code="unknown")

    with pytest.raises(InvalidSignature):
        app.read(answer, "/wxa/other")
    app.console["sym_key"] = b64encode(bytes(32)).decode()
    with pytest.raises(InvalidTag):
        app.read(answer)


async def test_an_app_that_must_sign_needs_signatures(app: App, call: Ask) -> None:
    """An app that must sign gets an error for an unsigned call that supports signing.

    Other calls and other apps need no signature.
    """
    assert (await call(PATH, {"code": "unknown"}))["errcode"] == 40233
    assert (await call("/wxa/checksession", openid="o-nobody"))["errcode"] == 40003
    assert (await call(PATH, {"code": "unknown"}, appid=OTHER))["errcode"] == 40029


async def test_an_app_may_have_optional_signatures(control: Ask, call: Ask, app: App) -> None:
    """With `required` false, unsigned calls get unsigned answers, and signed calls get signed ones."""
    pem = app.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    app.console = await control("/signing", appid=APPID, public_key=pem, required=False)

    assert (await call(PATH, {"code": "unknown"}))["errcode"] == 40029
    assert app.read(await app.send(code="unknown"))["errcode"] == 40029


async def test_a_signed_call_without_a_registration_is_refused(client: httpx2.AsyncClient, app: App) -> None:
    """A signed call of an app without keys is refused."""
    order = {"grant_type": "client_credential", "appid": OTHER, "secret": "0" * 32}
    app.token = (await client.post("/cgi-bin/stable_token", json=order)).json()["access_token"]

    assert (await app.send(code="unknown")).json()["errcode"] == 40239


async def test_the_sandboxs_clock_does_not_affect_signatures(
    app: App, control: Ask, client: httpx2.AsyncClient
) -> None:
    """Signatures use the real time, so that an advance of the sandbox's clock has no effect on them."""
    await control("/clock", advance_seconds=86400)
    order = {"grant_type": "client_credential", "appid": APPID, "secret": "0" * 32}
    app.token = (await client.post("/cgi-bin/stable_token", json=order)).json()["access_token"]

    assert app.read(await app.send(code="unknown"))["errcode"] == 40029


async def test_a_registration_returns_keys_numbers_and_a_certificate(app: App) -> None:
    """A registration returns the keys, their numbers, and a certificate of the public key."""
    certificate = x509.load_pem_x509_certificate(app.console["platform_certificate"].encode())

    assert app.console.keys() == {
        "sym_key",
        "sym_key_sn",
        "asym_key_sn",
        "platform_sn",
        "platform_public_key",
        "platform_certificate",
    }
    assert certificate.public_key() == load_pem_public_key(app.console["platform_public_key"].encode())
    assert len(b64decode(app.console["sym_key"])) == 32


@pytest.mark.parametrize("kind", ["text", "curve"])
async def test_a_malformed_public_key_is_refused(client: httpx2.AsyncClient, kind: str) -> None:
    """Only an RSA public key in PEM can be registered."""
    curve = generate_curve_key(SECP256R1()).public_key()
    pem = curve.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    order = {"appid": APPID, "public_key": {"text": "a key", "curve": pem}[kind]}
    answer = await client.post("/sandbox/signing", json=order)

    assert answer.status_code == 400
    assert "public_key" in answer.json()["detail"]
