"""The calls of WeChat by path."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import NamedTuple

from wechat_sandbox.accounts import Proof
from wechat_sandbox.errors import WeChatError
from wechat_sandbox.requests import Request, flag, number, text
from wechat_sandbox.wechat import WeChat
from wechat_sandbox.wxacodes import DEFAULT_WIDTH

NOTHING: Mapping[str, object] = MappingProxyType({})
OK: Mapping[str, object] = {"errcode": 0, "errmsg": "ok"}
WRONG_METHOD = {"GET": 43001, "POST": 43002}

Fields = Mapping[str, object]


class Endpoint(NamedTuple):
    """A call of WeChat. `answer` returns the fields or the picture of a success, or raises WeChatError.

    Most need an access_token (`authorized`), some may be signed and encrypted (`signable`), some take their parameters
    from a form, too (`form`), and some have fields in a refusal (`when_refused`). A signed call is always a POST.
    """

    methods: tuple[str, ...]
    answer: Callable[[WeChat, Request], Fields | bytes]
    authorized: bool = True
    signable: bool = False
    form: bool = False
    when_refused: Fields = NOTHING

    def admit(self, wechat: WeChat, request: Request) -> Request:
        """Return the decrypted request with its app.

        Raises WeChatError: 45011 (the sandbox's quota), as `AccessTokens.appid_of`, as `Signing.open`, 43001 or 43002
        (method).
        """
        wechat.quotas.count(request.path)
        if self.form:
            request = request.with_form()
        if self.authorized:
            request = replace(request, appid=wechat.tokens.appid_of(request.parameter("access_token")))
        if self.signable:
            request = wechat.signing.open(request)
        if request.method not in self.methods and not request.signed:
            raise WeChatError(WRONG_METHOD[self.methods[0]])
        return request


def code2session(wechat: WeChat, request: Request) -> Fields:
    """Log in: https://developers.weixin.qq.com/miniprogram/dev/OpenApiDoc/user-login/code2Session.html."""
    return wechat.code2session(
        appid=request.parameter("appid"),
        secret=request.parameter("secret"),
        js_code=request.parameter("js_code"),
        grant_type=request.parameter("grant_type"),
    )


def stable_token(wechat: WeChat, request: Request) -> Fields:
    """Issue a stable token: https://developers.weixin.qq.com/miniprogram/dev/OpenApiDoc/mp-access-token/getStableAccessToken.html."""
    body = request.json()
    return wechat.tokens.stable(
        text(body, "appid"), text(body, "secret"), text(body, "grant_type"), force=flag(body, "force_refresh")
    )


def token(wechat: WeChat, request: Request) -> Fields:
    """Issue a token of the older call: https://developers.weixin.qq.com/miniprogram/dev/OpenApiDoc/mp-access-token/getAccessToken.html."""
    return wechat.tokens.legacy(
        request.parameter("appid"), request.parameter("secret"), request.parameter("grant_type")
    )


def checksession(wechat: WeChat, request: Request) -> Fields:
    """Check a session_key: https://developers.weixin.qq.com/miniprogram/dev/OpenApiDoc/user-login/checkSessionKey.html."""
    wechat.accounts.check_key(request.appid, proof(request))
    return OK


def resetusersessionkey(wechat: WeChat, request: Request) -> Fields:
    """Reset a session_key: https://developers.weixin.qq.com/miniprogram/dev/OpenApiDoc/user-login/ResetUserSessionKey.html."""
    session_key = wechat.accounts.reset_key(request.appid, proof(request))
    return {**OK, "openid": request.parameter("openid"), "session_key": session_key}


def getuserphonenumber(wechat: WeChat, request: Request) -> Fields:
    """Get a phone number: https://developers.weixin.qq.com/miniprogram/dev/OpenApiDoc/user-info/phone-number/getPhoneNumber.html."""
    body = request.json()
    return {**OK, "phone_info": wechat.phones.number(request.appid, text(body, "code"), text(body, "openid"))}


def checkencryptedmsg(wechat: WeChat, request: Request) -> Fields:
    """Check encrypted data: https://developers.weixin.qq.com/miniprogram/dev/OpenApiDoc/user-info/basic-info/checkEncryptedData.html."""
    return {**OK, **wechat.client_data.check(request.appid, text(request.json(), "encrypted_msg_hash"))}


def getpaidunionid(wechat: WeChat, request: Request) -> Fields:
    """Get a unionid: https://developers.weixin.qq.com/miniprogram/dev/OpenApiDoc/user-info/basic-info/getPaidUnionid.html."""
    names = ("openid", "transaction_id", "mch_id", "out_trade_no")
    unionid = wechat.payments.unionid(request.appid, *(request.parameter(name) for name in names))
    return {"unionid": unionid, **OK}


def getuserencryptkey(wechat: WeChat, request: Request) -> Fields:
    """Get shared keys: https://developers.weixin.qq.com/miniprogram/dev/OpenApiDoc/user-info/internet/getUserEncryptKey.html.

    The signature of a POST is over its body: the parameters are in the query, and a body of `{}` is 87009.
    """
    message = b"" if request.signed else request.body
    wechat.accounts.check_key(request.appid, proof(request), absent=87007, message=message)
    return {**OK, "key_info_list": wechat.user_keys.shown(request.appid, request.parameter("openid"))}


def getwxacodeunlimit(wechat: WeChat, request: Request) -> bytes:
    """Draw a code: https://developers.weixin.qq.com/miniprogram/dev/OpenApiDoc/qrcode-link/qr-code/getUnlimitedQRCode.html.

    Its colours are ignored.
    """
    body = request.json()
    code = wechat.wxacodes.draw(
        request.appid,
        text(body, "scene"),
        text(body, "page"),
        check_path=flag(body, "check_path", default=True),
        env_version=text(body, "env_version") or "release",
        width=number(body, "width", DEFAULT_WIDTH),
    )
    return code.picture


def proof(request: Request) -> Proof:
    """Return the proof of a session_key in the query."""
    return Proof(request.parameter("openid"), request.parameter("signature"), request.parameter("sig_method"))


GET, POST = ("GET",), ("POST",)

ENDPOINTS: Mapping[str, Endpoint] = {
    "/sns/jscode2session": Endpoint(GET + POST, code2session, authorized=False, form=True),
    "/cgi-bin/stable_token": Endpoint(POST, stable_token, authorized=False),
    "/cgi-bin/token": Endpoint(GET + POST, token, authorized=False, form=True),
    "/wxa/checksession": Endpoint(GET, checksession),
    "/wxa/resetusersessionkey": Endpoint(GET, resetusersessionkey),
    "/wxa/business/getuserphonenumber": Endpoint(POST, getuserphonenumber, signable=True),
    "/wxa/business/checkencryptedmsg": Endpoint(
        POST, checkencryptedmsg, signable=True, when_refused={"vaild": False, "create_time": 0}
    ),
    "/wxa/getpaidunionid": Endpoint(GET, getpaidunionid),
    "/wxa/business/getuserencryptkey": Endpoint(
        POST + GET, getuserencryptkey, signable=True, when_refused={"key_info_list": []}
    ),
    "/wxa/getwxacodeunlimit": Endpoint(POST, getwxacodeunlimit, signable=True),
}
