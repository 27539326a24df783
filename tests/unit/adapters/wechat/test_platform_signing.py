"""WeChat's calls of an app with API security."""

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from adapters.wechat.signing import Signer, SigningKeys
from domain.errors import (
    AppMisconfigured,
    CodeInvalid,
    IdentityProviderBadResponse,
)
from domain.identity import AppId, Identity
from domain.user import PhoneNumber
from support.clock import Clock
from unit.adapters.wechat import official_signing_vectors as official
from unit.adapters.wechat.platform_world import (
    A_RID,
    ANN,
    APP,
    CODE,
    KEY,
    OK,
    PHONE_INFO,
    SIGNATURE,
    URL,
    World,
    query,
    refusals,
    reply,
)

pytestmark = pytest.mark.anyio


PSS = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)
SIGNED_PATH = "/wxa/business/getuserphonenumber"


class SigningWeChat:
    """A WeChat with API security, which decrypts requests, and signs and encrypts its answers with its own key."""

    def __init__(self, clock: Clock) -> None:
        self.read: list[dict[str, Any]] = []
        self._clock = clock
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._cipher = AESGCM(base64.b64decode(official.SYM_KEY))

    def signer(self) -> Signer:
        """Return the signer of the app."""
        public = self._key.public_key()
        pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        keys = SigningKeys(official.SYM_KEY, official.SYM_KEY_SN, official.PRIVATE_KEY, pem.decode(), "ours")
        return Signer(APP, keys, self._clock)

    def seal(self, answer: dict[str, Any]) -> Callable[[httpx2.Request], httpx2.Response]:
        """Return a function that answers with signed and encrypted data."""

        def respond(request: httpx2.Request) -> httpx2.Response:
            url, timestamp = f"{URL}{request.url.path}", request.headers["wechatmp-timestamp"]
            aad = f"{url}|{APP}|{timestamp}|{official.SYM_KEY_SN}".encode()
            sent = {name: base64.b64decode(part) for name, part in json.loads(request.content).items()}
            self.read.append(json.loads(self._cipher.decrypt(sent["iv"], sent["data"] + sent["authtag"], aad)))
            plain = {"_n": "n", "_appid": APP.value, "_timestamp": int(timestamp), **answer}
            sealed = self._cipher.encrypt(bytes(12), json.dumps(plain).encode(), aad)
            parts = {"iv": bytes(12), "data": sealed[:-16], "authtag": sealed[-16:]}
            body = json.dumps({name: base64.b64encode(part).decode() for name, part in parts.items()}).encode()
            signature = self._key.sign(f"{url}\n{APP}\n{timestamp}\n".encode() + body, PSS, hashes.SHA256())
            headers = {"timestamp": timestamp, "serial": "ours", "signature": base64.b64encode(signature).decode()}
            return reply(body, **{f"wechatmp-{name}": value for name, value in headers.items()})

        return respond


@pytest.fixture
def signing(world: World) -> SigningWeChat:
    """A WeChat with API security, and a platform with signing keys."""
    wechat = SigningWeChat(world.clock)
    world.platform = replace(world.platform, signers={APP: wechat.signer()})
    return wechat


async def test_a_signed_call_is_encrypted_in_both_directions(world: World, signing: SigningWeChat) -> None:
    """An app with signing keys sends the code encrypted and reads the answer. The URL has only the access token."""
    world.answer(signing.seal(OK | {"phone_info": PHONE_INFO}))
    number = await world.platform.phone_number(CODE, ANN)
    request = world.wechat.request

    assert number == PhoneNumber("+8613800000000")
    assert query(request) == {"access_token": world.issuer.issued[0].value}
    assert signing.read[0]["code"] == CODE.value
    assert CODE.value.encode() not in request.content
    assert request.headers["content-type"] == "application/json"


async def test_a_signed_errcode_raises_its_error(world: World, signing: SigningWeChat) -> None:
    """An errcode in an encrypted answer raises the same error as in an unencrypted one."""
    world.answer(signing.seal({"errcode": 40029, "errmsg": f"invalid code rid: {A_RID}"}))
    with pytest.raises(CodeInvalid) as raised:
        await world.platform.phone_number(CODE, ANN)

    assert raised.value.rid == A_RID


@pytest.mark.parametrize("errcode", [40230, 40231, 40232, 40233, 40234, 40235, 40236, 40237, 40238, 40239, 40240])
async def test_a_request_that_wechat_cannot_verify_is_misconfigured(
    world: World, signing: SigningWeChat, errcode: int
) -> None:
    """An unencrypted errcode about a signature or a key raises AppMisconfigured."""
    world.answer({"errcode": errcode, "errmsg": f"invalid signature rid: {A_RID}"})
    with pytest.raises(AppMisconfigured) as raised:
        await world.platform.phone_number(CODE, ANN)

    assert (raised.value.errcode, raised.value.rid) == (errcode, A_RID)


@refusals
async def test_a_signed_call_replaces_a_refused_token_too(world: World, signing: SigningWeChat, errcode: int) -> None:
    """After an unencrypted refusal of the token, the call is encrypted again with another token."""
    world.answer({"errcode": errcode, "errmsg": "invalid credential"}, signing.seal(OK | {"phone_info": PHONE_INFO}))

    assert await world.platform.phone_number(CODE, ANN) == PhoneNumber("+8613800000000")
    assert len(world.wechat.requests) == 2
    assert world.wechat.requests[0].content != world.wechat.requests[1].content


async def test_an_unencrypted_answer_is_refused(world: World, signing: SigningWeChat) -> None:
    """An unencrypted answer to an app with signing keys raises IdentityProviderBadResponse."""
    world.answer(OK | {"phone_info": PHONE_INFO})
    with pytest.raises(IdentityProviderBadResponse, match="not signed"):
        await world.platform.phone_number(CODE, ANN)


async def test_the_proof_of_a_session_key_is_encrypted(world: World, signing: SigningWeChat) -> None:
    """A signed call sends its parameters encrypted, except for the access token in the URL."""
    world.answer(signing.seal(OK | {"key_info_list": []}))
    await world.platform.encrypt_keys(ANN, KEY)

    assert set(query(world.wechat.request)) == {"access_token"}
    assert signing.read[0]["signature"] == SIGNATURE
    assert signing.read[0]["openid"] == ANN.openid


async def test_other_apps_are_not_signed(world: World, signing: SigningWeChat) -> None:
    """Calls of an app without signing keys are unencrypted, and unencrypted answers to it are accepted."""
    other = AppId("wx0123456789abcdef")
    world.answer(OK | {"phone_info": PHONE_INFO | {"watermark": {"appid": other.value}}})

    assert await world.platform.phone_number(CODE, Identity(other, "o1")) == PhoneNumber("+8613800000000")
    assert json.loads(world.wechat.request.content) == {"code": CODE.value, "openid": "o1"}
