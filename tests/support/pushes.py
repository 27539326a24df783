"""Message pushes: what WeChat knows about the app, and how tests send events."""

import hashlib
import json
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import httpx2

from support.processes import APPID

TOKEN = "aPushTokenOfTheTests0123456789ab"
AES_KEY = "ThisIsTheEncodingAESKeyOfTheTests0123456789"
OTHER_AES_KEY = "zyxwvutsrqponmlkjihgfedcba9876543210ABCDEFG"
XML, JSON = "text/xml", "application/json"
REVOKE, CANCEL, MODIFY = "user_authorization_revoke", "user_authorization_cancellation", "user_info_modified"
PHONE, NAME_AND_AVATAR = 8, 6


def signature(*parts: str) -> str:
    """Return hex SHA-1 of the sorted parts."""
    return hashlib.sha1("".join(sorted(parts)).encode(), usedforsecurity=False).hexdigest()


def signed(*more: str, token: str = TOKEN, name: str = "signature", at: float | None = None) -> dict[str, str]:
    """Return the query of a push at that time, by default now, whose signature also covers `more`."""
    timestamp, nonce = str(int(time.time() if at is None else at)), "1514711492"
    return {"timestamp": timestamp, "nonce": nonce, name: signature(token, timestamp, nonce, *more)}


def event(name: str, openid: str, at: float | None = None, **more: object) -> dict[str, Any]:
    """Return the fields of an event at that time, by default now."""
    sent = {"ToUserName": "gh_870882ca4b1", "FromUserName": "oPlatform", "MsgType": "event", "Event": name}
    return {**sent, "CreateTime": int(time.time() if at is None else at), "OpenID": openid, "AppID": APPID, **more}


def revocation(openid: str, number: int = PHONE, at: float | None = None) -> dict[str, Any]:
    """Return the fields of a revocation of the consent with this number."""
    return event(REVOKE, openid, at, RevokeInfo=str(number))


def as_json(fields: Mapping[str, object]) -> bytes:
    """Return the fields as JSON."""
    return json.dumps(fields).encode()


def as_xml(fields: Mapping[str, object]) -> bytes:
    """Return the fields as XML."""
    return f"<xml>{''.join(f'<{name}><![CDATA[{text}]]></{name}>' for name, text in fields.items())}</xml>".encode()


def send(
    http: httpx2.Client, body: bytes, query: Mapping[str, str] | None = None, appid: str = APPID
) -> httpx2.Response:
    """Send a push, by default with a correct signature."""
    url = f"/wechat/push/{appid}?{urlencode(signed() if query is None else query)}"
    return http.post(url, content=body, headers={"content-type": JSON if body[:1] == b"{" else XML})
