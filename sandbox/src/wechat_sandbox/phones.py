"""Phone numbers, and the codes of the phone button.

https://developers.weixin.qq.com/miniprogram/dev/OpenApiDoc/user-info/phone-number/getPhoneNumber.html
"""

import re
import secrets
from collections.abc import Callable
from hashlib import sha256
from typing import NamedTuple

from wechat_sandbox.codes import Codes, new_phone_code
from wechat_sandbox.errors import ControlRefused, require

MAINLAND = "86"
"""The country code of mainland China, which WeChat leaves out of phoneNumber."""

_mainland = re.compile(r"1\d{10}", re.ASCII).fullmatch
_international = re.compile(
    r"\+(1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|[2-9]\d\d)(\d{4,13})", re.ASCII
).fullmatch
"""Calling codes of one, two and three digits: ITU-T E.164."""


class Phone(NamedTuple):
    """A number in WeChat's two parts: `86` and `13800138000`."""

    country_code: str
    pure_number: str


class PhoneOrder(NamedTuple):
    """The number and the user of a phone code. The user may be unknown."""

    phone: Phone
    openid: str | None


class Phones:
    """Phone codes, each valid once, for 300 seconds of `now` (Unix seconds), and for its app."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._codes: Codes[PhoneOrder] = Codes(now, new_phone_code, foreign_errcode=40013)

    def issue_code(self, appid: str, phone: str | None = None, openid: str | None = None) -> str:
        """Issue a code as the phone button does. Without `phone`, an openid always has the same mainland number.

        Raises ControlRefused for other forms than `13800138000` and `+8613800138000`.
        """
        number = parse(phone) if phone is not None else generate_phone(f"{appid} {openid or secrets.token_hex()}")
        return self._codes.issue(appid, PhoneOrder(number, openid))

    def number(self, appid: str, code: str, openid: str) -> dict[str, object]:
        """Return the `phone_info` of a code. `openid` may be empty.

        Raises WeChatError: 40029 (a code unknown, used, expired, or no phone code), 40013 (of another app), 40003
        (another user's openid). Only success spends a code.
        """
        order = self._codes.find(code, appid).worth
        require(not (openid and order.openid) or openid == order.openid, 40003)
        country_code, pure_number = self._codes.spend(code, appid).phone
        return {
            "phoneNumber": pure_number if country_code == MAINLAND else f"+{country_code}{pure_number}",
            "purePhoneNumber": pure_number,
            "countryCode": country_code,
            "watermark": {"timestamp": int(self._now()), "appid": appid},
        }


def parse(phone: str) -> Phone:
    """Parse a mainland number of eleven digits, or one of any country with `+`. Raises ControlRefused."""
    if _mainland(phone):
        return Phone(MAINLAND, phone)
    if not (parts := _international(phone)):
        raise ControlRefused(f"phone is {phone!r}, but should be such as 13800138000 or +85212345678")
    return Phone(parts[1], parts[2])


def generate_phone(whose: str) -> Phone:
    """Return a mainland number. Deterministic."""
    return Phone(MAINLAND, f"13{int(sha256(whose.encode()).hexdigest(), 16) % 10**9:09}")
