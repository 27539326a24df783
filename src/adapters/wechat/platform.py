"""The calls of WeChat that need an access token.

https://developers.weixin.qq.com/miniprogram/dev/OpenApiDoc/
"""

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from adapters.wechat.api import NONE, JsonObject, Params, WeChatApi, number_in, text_in
from adapters.wechat.errcodes import AccessTokenRefused, WeChatBadResponse
from adapters.wechat.errors import Meanings
from adapters.wechat.signing import Signer
from application.access_tokens import AccessTokens
from application.ports.clock import Clock
from application.ports.platform import Platform
from domain.client_data import check_watermark
from domain.errors import CodeInvalid, DataUndecryptable, NotFound, RateLimited
from domain.identity import AppId, Identity, PhoneCode
from domain.session_key import EncryptKey, SessionKey
from domain.user import Payment, PhoneNumber

Result = TypeVar("Result")

Call = Callable[[dict[str, str]], Awaitable[Result]]
"""A call to WeChat, given the access token."""

LOGIN_CODE_LENGTH = 32
"""The length of a login code, which distinguishes it from a phone code: that has 64 characters."""

LOGIN_CODE_SENT = (
    "This looks like a code of wx.login(); send the one that the phone button gives in getPhoneNumber's event"
)
PHONE_CODE_UNKNOWN = (
    "WeChat does not know the phone code: it works once, within five minutes; ask the user to press again"
)
DRAWING: Meanings = {
    45009: (RateLimited, "WeChat draws no more mini-program codes of this app at the moment; wait a minute")
}
"""45009 is a daily quota elsewhere, and here 5,000 a minute."""


@dataclass(frozen=True, slots=True)
class WeChatPlatform(Platform):
    """A Platform on WeChat. Calls of apps with a signer are signed, where WeChat supports it."""

    api: WeChatApi
    tokens: AccessTokens
    signers: Mapping[AppId, Signer]
    clock: Clock

    async def phone_number(self, code: PhoneCode, identity: Identity) -> PhoneNumber:
        """See Platform. WeChat's page calls the openid optional. With it, WeChat refuses a code of another user.

        https://developers.weixin.qq.com/miniprogram/dev/OpenApiDoc/user-info/phone-number/getPhoneNumber.html
        """
        looks_like_login = len(code.value) == LOGIN_CODE_LENGTH
        meanings = {
            40003: (CodeInvalid, "The code is of another user than the session"),
            40013: (CodeInvalid, "The code is of another mini-program than the session; check the client's appid"),
            40029: (CodeInvalid, LOGIN_CODE_SENT if looks_like_login else PHONE_CODE_UNKNOWN),
        }
        sent = {"code": code.value, "openid": identity.openid}
        answer = await self._post(identity.appid, "/wxa/business/getuserphonenumber", {}, sent, meanings)
        info = answer.get("phone_info")
        if not isinstance(info, dict):
            raise WeChatBadResponse("WeChat's response has no usable phone_info")
        check_watermark(info, identity.appid)
        return _phone_number(info)

    async def is_current(self, identity: Identity, key: SessionKey) -> bool:
        """See Platform."""
        try:
            await self._get(identity.appid, "/wxa/checksession", _signed(identity, key))
        except DataUndecryptable:  # 87009 replaced, 87007 expired
            return False
        return True

    async def renew(self, identity: Identity, key: SessionKey) -> SessionKey:
        """See Platform."""
        answer = await self._get(identity.appid, "/wxa/resetusersessionkey", _signed(identity, key))
        if text_in(answer, "openid", r"[!-~]{1,128}") != identity.openid:
            raise WeChatBadResponse("WeChat's response is of another user")
        return SessionKey(text_in(answer, "session_key", r"[!-~]{1,512}"))

    async def encrypt_keys(self, identity: Identity, key: SessionKey) -> list[EncryptKey]:
        """See Platform."""
        params = _signed(identity, key)
        answer = await self._post(identity.appid, "/wxa/business/getuserencryptkey", params, {})
        listed = answer.get("key_info_list")
        if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
            raise WeChatBadResponse("WeChat's response has no usable key_info_list")
        now = self.clock()
        return [_encrypt_key(each, now) for each in listed]

    async def encrypted_at(self, encrypted_data: str, appid: AppId) -> datetime | None:
        """See Platform. The hash is of the base64 text."""
        body = {"encrypted_msg_hash": hashlib.sha256(encrypted_data.encode()).hexdigest()}
        try:
            answer = await self._post(appid, "/wxa/business/checkencryptedmsg", {}, body)
        except NotFound:
            return None
        is_genuine = answer.get("vaild", answer.get("valid"))  # WeChat's spelling, and the one it may have some day
        return datetime.fromtimestamp(number_in(answer, "create_time"), UTC) if is_genuine is True else None

    async def unionid_of(self, identity: Identity, payment: Payment) -> str:
        """See Platform."""
        parts = {
            "transaction_id": payment.transaction_id,
            "mch_id": payment.mch_id,
            "out_trade_no": payment.out_trade_no,
        }
        given = {name: part for name, part in parts.items() if part}
        meanings = {40003: (NotFound, "WeChat knows no payment of this user's in the last five minutes by that number")}
        params = {"openid": identity.openid, **given}
        answer = await self._get(identity.appid, "/wxa/getpaidunionid", params, meanings)
        return text_in(answer, "unionid", r"[!-~]{1,128}")

    async def draw_code(self, appid: AppId, scene: str, page: str, env_version: str) -> bytes:
        """See Platform. Only a released page is checked: others need not be published.

        https://developers.weixin.qq.com/miniprogram/dev/OpenApiDoc/qrcode-link/qr-code/getUnlimitedQRCode.html
        """
        body = {"scene": scene, "page": page, "env_version": env_version, "check_path": env_version == "release"}
        path, signer = "/wxa/getwxacodeunlimit", self.signers.get(appid)

        def draw(token: dict[str, str]) -> Awaitable[bytes]:
            return self.api.post_for_picture(path, token, body, signer, DRAWING)

        return await self._with_token(appid, draw)

    async def _get(self, appid: AppId, path: str, params: Params, meanings: Meanings = NONE) -> JsonObject:
        return await self._with_token(appid, lambda token: self.api.get(path, {**token, **params}, meanings))

    async def _post(
        self, appid: AppId, path: str, params: Params, body: Params, meanings: Meanings = NONE
    ) -> JsonObject:
        if signer := self.signers.get(appid):
            sealed = {**params, **body}
            return await self._with_token(
                appid, lambda token: self.api.post_signed(path, token, sealed, signer, meanings)
            )
        return await self._with_token(appid, lambda token: self.api.post(path, {**token, **params}, body, meanings))

    async def _with_token(self, appid: AppId, call: Call[Result]) -> Result:
        """Return the response of `call`; if WeChat refuses the token, call again once with a new one."""
        token = await self.tokens.get(appid)
        try:
            return await call({"access_token": token.value})
        except AccessTokenRefused:
            token = await self.tokens.renew(appid, token)
        return await call({"access_token": token.value})


def _signed(identity: Identity, key: SessionKey) -> dict[str, str]:
    """Return the parameters of a user and their session_key: the HMAC of an empty text, keyed with the base64 text."""
    signature = hmac.new(key.value.encode(), b"", hashlib.sha256).hexdigest()
    return {"openid": identity.openid, "signature": signature, "sig_method": "hmac_sha256"}


def _phone_number(info: Mapping[str, Any]) -> PhoneNumber:
    """Return the number in E.164. countryCode may be a number or text; phoneNumber lacks it for mainland numbers."""
    country, number = info.get("countryCode") or "?", info.get("purePhoneNumber") or "?"
    try:
        return PhoneNumber(f"+{country}{number}")
    except ValueError:
        raise WeChatBadResponse("WeChat's response has no usable phone number") from None


def _encrypt_key(listed: Mapping[str, Any], now: datetime) -> EncryptKey:
    return EncryptKey(
        version=number_in(listed, "version"),
        key=text_in(listed, "encrypt_key", r"[!-~]{1,512}"),
        iv=text_in(listed, "iv", r"[!-~]{1,512}"),
        created_at=datetime.fromtimestamp(number_in(listed, "create_time"), UTC),
        expires_at=now + timedelta(seconds=number_in(listed, "expire_in")),
    )
