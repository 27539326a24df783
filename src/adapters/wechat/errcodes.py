"""WeChat's error codes: their meaning, usual cause and remedy.

One table for `wxlogin explain`, the log, the `detail` of a problem, and docs/wechat-errors.md. The texts follow
WeChat's global return codes (https://developers.weixin.qq.com/doc/oplatform/Return_codes/Return_code_descriptions_new.html),
the pages of the calls, and what operators report.
"""

from dataclasses import dataclass

from domain.errors import (
    AppMisconfigured,
    CodeInvalid,
    CodeMissing,
    CodeUsed,
    DataUndecryptable,
    IdentityProviderBadResponse,
    IdentityProviderUnavailable,
    NotFound,
    RateLimited,
    UserBlockedByProvider,
    WxLoginError,
)


class WeChatUnavailable(IdentityProviderUnavailable):
    """WeChat does not answer in time, reports that it is busy, or returns an unknown error."""

    provider = "WeChat"


class WeChatBadResponse(IdentityProviderBadResponse):
    """WeChat's response cannot be understood."""

    provider = "WeChat"


class UserBlockedByWeChat(UserBlockedByProvider):
    """WeChat blocks the user as a high risk."""

    provider = "WeChat"


class AccessTokenRefused(WeChatUnavailable):
    """WeChat refuses the access token. Another one may be accepted."""


@dataclass(frozen=True, slots=True)
class ErrCode:
    """An error code of WeChat. `error` is the class that the service raises for it."""

    number: int
    error: type[WxLoginError]
    meaning: str
    cause: str
    hint: str


def _table(*rows: ErrCode) -> dict[int, ErrCode]:
    return {row.number: row for row in rows}


PROXY = "A proxy between this service and WeChat changed the request; else it is a defect of wxlogin"
URL = "Check WXLOGIN_WECHAT_URL and what answers there"
UNSIGNED = "API security is on in the WeChat console, but the app has no `signing` here, or a proxy drops headers"
SIGN = "Add `signing` to the app in WXLOGIN_APPS"
DROPPED = "A proxy between this service and WeChat dropped it"
WHITELIST = "Add this server's address to the IP whitelist in the WeChat console"
LOGIN_AGAIN = "Call wx.login() and log in again: a login brings the new key"
CONFIRM = "Let the administrator confirm in WeChat, or add this server's address to the IP whitelist"

ERRCODES = _table(
    ErrCode(
        -1,
        WeChatUnavailable,
        "WeChat is busy",
        "A passing fault of WeChat's",
        "Try again in a moment, a login with a new code of wx.login(): the old one may be spent",
    ),
    ErrCode(
        1,
        NotFound,
        "WeChat did not make this encrypted data",
        "It is older than three days, of another app, or forged",
        "Refuse the data, and let the client ask the user for it again",
    ),
    ErrCode(
        40001,
        AccessTokenRefused,
        "The access token is invalid or not the newest",
        "Another program forces new tokens for the same app, or the AppSecret was reset",
        "wxlogin tries once with another token; if it stays, look for who calls stable_token with force_refresh",
    ),
    ErrCode(40002, AppMisconfigured, "The grant_type is invalid", PROXY, URL),
    ErrCode(
        40003,
        AppMisconfigured,
        "The openid is invalid",
        "It is of another app: the appid of a configured app was changed",
        "Keep one appid a mini-program; compare WXLOGIN_APPID with the WeChat console",
    ),
    ErrCode(
        40013,
        AppMisconfigured,
        "WeChat does not know the appid",
        "A typing error, or the appid of an Official Account; for a phone code: it is of another mini-program",
        "Compare WXLOGIN_APPID with the mini-program's settings in the WeChat console",
    ),
    ErrCode(
        40014,
        AccessTokenRefused,
        "The access token is malformed",
        "A proxy between this service and WeChat cut it",
        "wxlogin tries once with another token; if it stays, check WXLOGIN_WECHAT_URL and what answers there",
    ),
    ErrCode(
        40029,
        CodeInvalid,
        "WeChat does not know the code",
        "It is older than five minutes, of another app, a phone-button code sent to login, or the other way round",
        "Call wx.login() again and send the new code at once; check that client and server have the same appid",
    ),
    ErrCode(
        40066,
        AppMisconfigured,
        "WeChat has no such call",
        "WXLOGIN_WECHAT_URL has a path too much, or a proxy changed it",
        URL,
    ),
    ErrCode(40097, AppMisconfigured, "A parameter is invalid", PROXY, URL),
    ErrCode(
        40125,
        AppMisconfigured,
        "The AppSecret is wrong",
        "It was reset in the WeChat console, or belongs to another app",
        "Set WXLOGIN_APP_SECRET to the current AppSecret",
    ),
    ErrCode(
        40129,
        AppMisconfigured,
        "The scene of a mini-program code has a character that WeChat does not draw",
        PROXY,
        URL,
    ),
    ErrCode(
        40163,
        CodeUsed,
        "The code was used before",
        "The client sent it twice, or a proxy repeated the request",
        "Call wx.login() again: every login needs a code of its own",
    ),
    ErrCode(
        40164,
        AppMisconfigured,
        "This server's address is not on the app's IP whitelist",
        "The server moved, or leaves through another address than the one listed",
        "Add the address that WeChat names to the IP whitelist in the WeChat console",
    ),
    ErrCode(
        40169,
        AppMisconfigured,
        "The scene of a mini-program code is too long, or the request is not JSON",
        PROXY,
        URL,
    ),
    ErrCode(
        40226,
        UserBlockedByWeChat,
        "WeChat blocks this user as a high risk",
        "WeChat's own judgement of the account",
        "Refuse the login; the user can appeal to WeChat",
    ),
    ErrCode(40230, AppMisconfigured, "WeChat wants this call signed, with Wechatmp-Serial", UNSIGNED, SIGN),
    ErrCode(40231, AppMisconfigured, "WeChat wants this call signed, with Wechatmp-TimeStamp", UNSIGNED, SIGN),
    ErrCode(40232, AppMisconfigured, "WeChat wants this call signed, with Wechatmp-Signature", UNSIGNED, SIGN),
    ErrCode(40233, AppMisconfigured, "WeChat wants this call signed, with Wechatmp-Appid", UNSIGNED, SIGN),
    ErrCode(
        40234,
        AppMisconfigured,
        "The request's signature is wrong",
        "The private key here is not the one of the WeChat console",
        "Compare signing.private_key of the app in WXLOGIN_APPS with the WeChat console",
    ),
    ErrCode(
        40235,
        AppMisconfigured,
        "The request cannot be decrypted",
        "The symmetric key or its number is not the one of the WeChat console",
        "Compare signing.sym_key and signing.sym_key_sn of the app in WXLOGIN_APPS with the WeChat console",
    ),
    ErrCode(
        40236,
        AppMisconfigured,
        "The Wechatmp-Appid is invalid",
        "The appid of the signed app is wrong",
        "Compare the appid in WXLOGIN_APPS with the WeChat console",
    ),
    ErrCode(
        40237,
        AppMisconfigured,
        "The Wechatmp-Appid is not the access token's",
        "Two apps were mixed up on the way",
        URL,
    ),
    ErrCode(
        40238,
        AppMisconfigured,
        "The app has no symmetric key",
        "API security was set up only half in the WeChat console",
        "Set up the symmetric key in the console, or remove `signing` from the app in WXLOGIN_APPS",
    ),
    ErrCode(
        40239,
        AppMisconfigured,
        "The app has no public key",
        "API security was set up only half in the WeChat console",
        "Set up the key pair in the console, or remove `signing` from the app in WXLOGIN_APPS",
    ),
    ErrCode(
        40240,
        AppMisconfigured,
        "The signed request is too old",
        "This server's clock is wrong",
        "Synchronise the clock (NTP)",
    ),
    ErrCode(
        40243,
        AppMisconfigured,
        "The AppSecret is frozen",
        "It was frozen in the WeChat console",
        "Unfreeze or reset the AppSecret in the WeChat console, wait ten minutes, and set WXLOGIN_APP_SECRET",
    ),
    ErrCode(41001, AppMisconfigured, "The request to WeChat has no access token", DROPPED, URL),
    ErrCode(41002, AppMisconfigured, "The request to WeChat has no appid", DROPPED, URL),
    ErrCode(41004, AppMisconfigured, "The request to WeChat has no AppSecret", DROPPED, URL),
    ErrCode(
        41008,
        CodeMissing,
        "The request to WeChat has no code",
        "The client sent none",
        "Send the code that wx.login() gave",
    ),
    ErrCode(41009, AppMisconfigured, "The request to WeChat has no openid", DROPPED, URL),
    ErrCode(
        41030,
        AppMisconfigured,
        "The page of a mini-program code does not exist",
        "It is not in the version that users have, or begins with a slash",
        "Set WXLOGIN_SCAN_PAGE to a page of the published version, or WXLOGIN_SCAN_ENV_VERSION to trial or develop",
    ),
    ErrCode(
        42001,
        AccessTokenRefused,
        "The access token has expired",
        "This server's clock is wrong, or another program forces new tokens for the same app",
        "wxlogin tries once with another token; if it stays, synchronise the clock (NTP)",
    ),
    ErrCode(
        42007,
        AppMisconfigured,
        "The app's authorisation is gone",
        "The administrator's WeChat password was changed, or the authorisation was withdrawn",
        "Authorise the app again in the WeChat console",
    ),
    ErrCode(43001, AppMisconfigured, "WeChat wants GET", PROXY, URL),
    ErrCode(43002, AppMisconfigured, "WeChat wants POST", PROXY, URL),
    ErrCode(
        43003,
        AppMisconfigured,
        "WeChat wants https",
        "WXLOGIN_WECHAT_URL begins with http://",
        "Set it to https://api.weixin.qq.com",
    ),
    ErrCode(
        43104,
        AppMisconfigured,
        "The app may not ask about this user",
        "The openid is of another app",
        "Compare WXLOGIN_APPID with the WeChat console",
    ),
    ErrCode(44002, AppMisconfigured, "The request to WeChat has no body", PROXY, URL),
    ErrCode(45002, AppMisconfigured, "The request to WeChat is too long", PROXY, URL),
    ErrCode(
        45009,
        RateLimited,
        "The app's daily quota of this call is used up",
        "More calls than WeChat grants the app in a day",
        "Wait until midnight in Beijing, or ask WeChat for a greater quota",
    ),
    ErrCode(
        45011,
        RateLimited,
        "The app makes too many calls a minute",
        "A burst of logins, or clients that call wx.login() in a loop",
        "Wait a minute; let clients keep their token instead of logging in on every launch",
    ),
    ErrCode(
        45035,
        AppMisconfigured,
        "This server's address is not registered",
        "The server moved, or leaves through another address than the one listed",
        WHITELIST,
    ),
    ErrCode(47001, AppMisconfigured, "The request to WeChat is not the JSON it should be", PROXY, URL),
    ErrCode(
        48001,
        AppMisconfigured,
        "The app may not use this call",
        "Phone numbers need a verified account that is no person's; or the credentials are of another kind",
        "Verify the account, or apply for the call in the WeChat console",
    ),
    ErrCode(
        48004,
        AppMisconfigured,
        "WeChat took this call away from the app",
        "A violation of WeChat's rules",
        "Look for the notice in the WeChat console",
    ),
    ErrCode(
        50002,
        AppMisconfigured,
        "The account is restricted",
        "It is frozen, moving or being closed",
        "Its administrator finds the reason in the WeChat console",
    ),
    ErrCode(
        50004,
        AppMisconfigured,
        "The account may not have access tokens",
        "A punishment by WeChat",
        "Its administrator finds the reason in the WeChat console",
    ),
    ErrCode(
        50007,
        AppMisconfigured,
        "The account is frozen",
        "A punishment by WeChat, or a wish of its owner",
        "Its administrator finds the reason in the WeChat console",
    ),
    ErrCode(
        61004,
        AppMisconfigured,
        "This server's address is not registered",
        "The server moved, or leaves through another address than the one listed",
        WHITELIST,
    ),
    ErrCode(
        61024,
        AppMisconfigured,
        "The appid is of a third-party platform",
        "WXLOGIN_APPID is the platform's, not the mini-program's",
        "Set WXLOGIN_APPID to the mini-program's own appid",
    ),
    ErrCode(
        87007,
        DataUndecryptable,
        "WeChat does not know the session_key any more",
        "The user has not been in the mini-program for long",
        LOGIN_AGAIN,
    ),
    ErrCode(87008, AppMisconfigured, "The sig_method is invalid", PROXY, URL),
    ErrCode(
        87009,
        DataUndecryptable,
        "The signature is not of the user's session_key",
        "A newer wx.login() replaced the key, here or in another program of the same app",
        LOGIN_AGAIN,
    ),
    ErrCode(
        89002,
        AppMisconfigured,
        "The app belongs to no Open Platform account",
        "It is not bound to an Open Platform account, so its users have no unionid",
        "Bind the mini-program at the WeChat Open Platform",
    ),
    ErrCode(
        89300,
        NotFound,
        "WeChat knows no such payment",
        "It was more than five minutes ago, of another user or app, or its number is wrong",
        "Ask within five minutes of the payment, with the number that WeChat Pay gave",
    ),
    ErrCode(
        89501,
        AppMisconfigured,
        "A confirmation by the account's administrator is pending",
        "WeChat asked the administrator about a new server",
        CONFIRM,
    ),
    ErrCode(
        89503,
        AppMisconfigured,
        "The account's administrator has to confirm this call",
        "The server is new to WeChat",
        CONFIRM,
    ),
    ErrCode(
        89506,
        AppMisconfigured,
        "The administrator refused this server for a day",
        "WeChat asked, and the answer was no",
        "Talk to the administrator, and try again after 24 hours",
    ),
    ErrCode(
        89507,
        AppMisconfigured,
        "The administrator refused this server for an hour",
        "WeChat asked, and the answer was no",
        "Talk to the administrator, and try again after an hour",
    ),
)
