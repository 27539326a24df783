"""WeChat's error codes: what they mean, what causes them, what mends them.

The texts follow WeChat's global return codes
(https://developers.weixin.qq.com/doc/oplatform/Return_codes/Return_code_descriptions_new.html) and what operators
report. Raised by code2Session or not, `wxlogin explain` knows them.
"""

from dataclasses import dataclass

from domain.errors import (
    AppMisconfigured,
    CodeInvalid,
    CodeMissing,
    CodeUsed,
    RateLimited,
    UserBlockedByWeChat,
    WeChatUnavailable,
    WxLoginError,
)


@dataclass(frozen=True, slots=True)
class ErrCode:
    """One of WeChat's error codes, explained; `error` is what it means to us."""

    number: int
    error: type[WxLoginError]
    meaning: str
    cause: str
    mend: str


def _table(*rows: ErrCode) -> dict[int, ErrCode]:
    return {row.number: row for row in rows}


ERRCODES = _table(
    ErrCode(
        -1,
        WeChatUnavailable,
        "WeChat is busy",
        "A passing fault of WeChat's",
        "Call wx.login() again in a moment: nobody knows whether the code was spent",
    ),
    ErrCode(
        40013,
        AppMisconfigured,
        "WeChat does not know the appid",
        "A typing error, or the appid of an Official Account",
        "Compare WXLOGIN_APPID with the mini-program's settings in the WeChat console",
    ),
    ErrCode(
        40029,
        CodeInvalid,
        "WeChat does not know the code",
        "It is older than five minutes, of another app, or a phone-button code sent to login",
        "Call wx.login() again and send the new code at once; check that client and server have the same appid",
    ),
    ErrCode(
        40125,
        AppMisconfigured,
        "The AppSecret is wrong",
        "It was reset in the WeChat console, or belongs to another app",
        "Set WXLOGIN_APP_SECRET to the current AppSecret",
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
        40226,
        UserBlockedByWeChat,
        "WeChat blocks this user as a high risk",
        "WeChat's own judgement of the account",
        "Refuse the login; the user can appeal to WeChat",
    ),
    ErrCode(
        40243,
        AppMisconfigured,
        "The AppSecret is frozen",
        "It was frozen in the WeChat console",
        "Unfreeze or reset the AppSecret in the WeChat console, then set WXLOGIN_APP_SECRET",
    ),
    ErrCode(
        41002,
        AppMisconfigured,
        "The request to WeChat has no appid",
        "A proxy between this service and WeChat dropped it",
        "Check WXLOGIN_WECHAT_URL and what answers there",
    ),
    ErrCode(
        41004,
        AppMisconfigured,
        "The request to WeChat has no AppSecret",
        "A proxy between this service and WeChat dropped it",
        "Check WXLOGIN_WECHAT_URL and what answers there",
    ),
    ErrCode(
        41008,
        CodeMissing,
        "The request to WeChat has no code",
        "The client sent none",
        "Send the code that wx.login() gave",
    ),
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
)


def error_of(number: int, rid: str | None) -> WxLoginError:
    """What the error code means to us. One that nobody knows is WeChat's fault until it is explained."""
    known = ERRCODES.get(number)
    if known is None:
        return WeChatUnavailable(
            f"WeChat answers with error {number}, which is not known here", errcode=number, rid=rid
        )
    return known.error(f"{known.meaning}. {known.mend}", errcode=number, rid=rid)
