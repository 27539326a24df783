"""The texts of WeChat's errors, as its answers and its error code pages spell them."""

import secrets
from collections.abc import Mapping

UNKNOWN = "no text is known for this errcode{rid}"

TEXTS: Mapping[int, str] = {
    -1: "system error",
    40001: "invalid credential, access_token is invalid or not latest, could get access_token by "
    "getStableAccessToken, more details at https://mmbizurl.cn/s/JtxxFh33r{rid}",
    40002: "invalid grant_type{rid}",
    40013: "invalid appid{rid}",
    40014: "invalid access_token{rid}",
    40029: "invalid code{rid}",
    40125: "invalid appsecret{rid}",
    40163: "code been used{rid}",
    40164: "invalid ip 203.0.113.7 ipv6 ::ffff:203.0.113.7, not in whitelist{rid}",
    40226: "code blocked, hints: [ req_id: {req_id} ]",
    41002: "appid missing{rid}",
    41004: "appsecret missing{rid}",
    41008: "missing code{rid}",
    42001: "access_token expired{rid}",
    43001: "require GET method{rid}",
    43002: "require POST method{rid}",
    45009: "reach max api daily quota limit{rid}",
    45011: "api minute-quota reach limit, must slower, retry next minute{rid}",
    47001: "data format error{rid}",
    87007: "session_key is not existd or expired{rid}",  # sic
    87008: "invalid sig_method{rid}",
    87009: "invalid signature{rid}",
}


def errmsg(errcode: int, path: str, now: float) -> str:
    """WeChat's text for `errcode` in an answer of `path` at `now` (Unix seconds), with its `rid`."""
    comma = "," if path.startswith("/sns/") else ""
    text = TEXTS.get(errcode, UNKNOWN)
    return text.format(rid=f"{comma} rid: {new_rid(now)}", req_id=secrets.token_urlsafe(11))


def new_rid(now: float) -> str:
    """A request id such as `6374a1b2-0c3d4e5f-12ab34cd`: the Unix time `now` in hex, then chance."""
    return f"{int(now):08x}-{secrets.token_hex(4)}-{secrets.token_hex(4)}"
