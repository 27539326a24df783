"""What the controls are asked for."""

from typing import Annotated

import msgspec

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]


class CodeOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose code it is to be."""

    appid: Id
    openid: Id | None = None
    unionid: Id | None = None


class PhoneCodeOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which number a phone code is to be worth, and whose."""

    appid: Id
    phone: Id | None = None
    openid: Id | None = None


class AccountOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One user of one app."""

    appid: Id
    openid: Id


class EncryptOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be encrypted for whom."""

    appid: Id
    openid: Id
    data: dict[str, object]


class PaymentOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who pays, and the numbers of the payment."""

    appid: Id
    openid: Id
    transaction_id: Id | None = None
    mch_id: Id | None = None
    out_trade_no: Id | None = None


class Advance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far the clock is to move."""

    advance_seconds: float
