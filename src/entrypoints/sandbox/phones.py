"""Phone numbers, and the codes of the button that gives them.

https://developers.weixin.qq.com/miniprogram/dev/OpenApiDoc/user-info/phone-number/getPhoneNumber.html
"""

import re
import secrets
from collections.abc import Callable
from hashlib import sha256
from typing import NamedTuple

from entrypoints.sandbox.codes import Codes, new_phone_code
from entrypoints.sandbox.errors import MisuseError, require

_mainland = re.compile(r"1\d{10}", re.ASCII).fullmatch
_international = re.compile(
    r"\+(1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|[2-9]\d\d)(\d{4,13})", re.ASCII
).fullmatch
"""Calling codes of one, two and three digits: ITU-T E.164."""


class Phone(NamedTuple):
    """A number as WeChat splits it: `86` and `13800138000`."""

    country_code: str
    pure_number: str


class PhoneOrder(NamedTuple):
    """What a phone code is good for: the number of a user, who may be unnamed."""

    phone: Phone
    openid: str | None


class Phones:
    """Phone codes: single use, 300 seconds of `now` (Unix seconds), each for its own app."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._codes: Codes[PhoneOrder] = Codes(now, new_phone_code, foreign_errcode=40013)

    def issue_code(self, appid: str, phone: str | None = None, openid: str | None = None) -> str:
        """What the phone button gives. Without `phone` a mainland number, the same every time for an openid.

        Raises MisuseError for what is neither `13800138000` nor `+8613800138000`.
        """
        number = parse(phone) if phone is not None else generate_phone(f"{appid} {openid or secrets.token_hex()}")
        return self._codes.issue(appid, PhoneOrder(number, openid))

    def number(self, appid: str, code: str, openid: str) -> dict[str, object]:
        """The `phone_info` of a code; `openid` may be empty.

        Raises WeChatError: 40029 (a code unknown, used, expired, or no phone code), 40013 (of another app), 40003
        (another user's openid). Only success spends a code.
        """
        order = self._codes.find(code, appid).worth
        require(not (openid and order.openid) or openid == order.openid, 40003)
        country_code, pure_number = self._codes.spend(code, appid).phone
        return {
            "phoneNumber": f"+{country_code}{pure_number}",
            "purePhoneNumber": pure_number,
            "countryCode": country_code,
            "watermark": {"timestamp": int(self._now()), "appid": appid},
        }


def parse(phone: str) -> Phone:
    """A mainland number of eleven digits, or one of any country with its `+`. Raises MisuseError for another."""
    if _mainland(phone):
        return Phone("86", phone)
    if not (parts := _international(phone)):
        raise MisuseError(f"phone is {phone!r}, but should be such as 13800138000 or +85212345678")
    return Phone(parts[1], parts[2])


def generate_phone(whose: str) -> Phone:
    """A mainland number, the same every time."""
    return Phone("86", f"13{int(sha256(whose.encode()).hexdigest(), 16) % 10**9:09}")
