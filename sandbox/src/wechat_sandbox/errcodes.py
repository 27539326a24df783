"""The texts of WeChat's errors, as in its responses and on its error code pages."""

import secrets
from collections.abc import Mapping

UNKNOWN = "no text is known for this errcode{rid}"

TEXTS: Mapping[int, str] = {
    -1: "system error",
    1: "data not exit{rid}",  # sic
    40001: "invalid credential, access_token is invalid or not latest, could get access_token by "
    "getStableAccessToken, more details at https://mmbizurl.cn/s/JtxxFh33r{rid}",
    40002: "invalid grant_type{rid}",
    40003: "invalid openid{rid}",
    40013: "invalid appid{rid}",
    40014: "invalid access_token{rid}",
    40029: "invalid code{rid}",
    40066: "invalid url,{rid}",
    40097: "invalid args{rid}",
    40125: "invalid appsecret{rid}",
    40129: "invalid scene{rid}",
    40163: "code been used{rid}",
    40164: "invalid ip 203.0.113.7 ipv6 ::ffff:203.0.113.7, not in whitelist{rid}",
    40169: "invalid length for scene, or the data is not json string{rid}",
    40226: "code blocked, hints: [ req_id: {req_id} ]",
    40230: "missing Wechatmp-Serial{rid}",  # of these eleven only 40234 and 40235 were seen in answers
    40231: "missing Wechatmp-TimeStamp{rid}",
    40232: "missing Wechatmp-Signature{rid}",
    40233: "missing Wechatmp-Appid{rid}",
    40234: "invalid signature{rid}",
    40235: "invalid encrypt{rid}",
    40236: "invalid Wechatmp-Appid{rid}",
    40237: "Wechatmp-Appid does not match access_token{rid}",
    40238: "symmetric key does not exist{rid}",
    40239: "asymmetric key does not exist{rid}",
    40240: "expired Wechatmp-TimeStamp{rid}",
    40243: "AppSecret已被冻结，请解冻后再次调用。{rid}",
    41001: "access_token missing{rid}",
    41002: "appid missing{rid}",
    41004: "appsecret missing{rid}",
    41008: "missing code{rid}",
    41009: "missing openid{rid}",
    41030: "invalid page{rid}",
    42001: "access_token expired{rid}",
    42007: "access_token and refresh_token exception{rid}",
    43001: "require GET method{rid}",
    43002: "require POST method{rid}",
    43003: "require https{rid}",
    44002: "empty post data{rid}",
    45002: "content size out of limit{rid}",
    45009: "reach max api daily quota limit{rid}",
    45011: "api minute-quota reach limit, must slower, retry next minute{rid}",
    47001: "data format error hint: [{hint}]{rid}",
    48001: "api unauthorized{rid}",
    48004: "api forbidden for irregularities, view detail on mp.weixin.qq.com{rid}",
    50002: "user limited{rid}",
    50004: "user not allow to use accesstoken, maybe for punishment{rid}",
    87007: "session_key is not existd or expired{rid}",  # sic
    87008: "invalid sig_method{rid}",
    87009: "invalid signature{rid}",
    89002: "open not exists{rid}",
    89300: "invalid trade{rid}",
    89503: "此次调用需要管理员确认，请耐心等候{rid}",
}

PHONE = "/wxa/business/getuserphonenumber"
TEXTS_OF_PATH: Mapping[tuple[str, int], str] = {
    ("/sns/jscode2session", 40001): "invalid credential, access_token is invalid or not latest{rid}",
    ("/cgi-bin/token", 45009): "reach max api daily quota limit, could get access_token by getStableAccessToken, "
    "more details at https://mmbizurl.cn/s/JtxxFh33r{rid}",
    (PHONE, 40003): "invalid openid hint: [{hint}]{rid}",
    (PHONE, 40013): "invalid appid hint: [{hint}]{rid}",
    (PHONE, 40029): "invalid code hint: [{hint}]{rid}",
}
"""Where one call says it in another way than the rest."""


def errmsg(errcode: int, path: str, now: float) -> str:
    """Return WeChat's text for `errcode` in a response of `path` at `now` (Unix seconds), with its `rid`."""
    comma = "," if path.startswith("/sns/") else ""
    text = TEXTS_OF_PATH.get((path, errcode)) or TEXTS.get(errcode, UNKNOWN)
    return text.format(
        rid=f"{comma} rid: {new_rid(now)}", req_id=secrets.token_urlsafe(11), hint=secrets.token_urlsafe(12)
    )


def new_rid(now: float) -> str:
    """Return a request id such as `6374a1b2-0c3d4e5f-12ab34cd`: the Unix time `now` in hex, then random digits."""
    return f"{int(now):08x}-{secrets.token_hex(4)}-{secrets.token_hex(4)}"
