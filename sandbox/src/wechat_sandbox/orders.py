"""The request bodies of the controls."""

from typing import Annotated

import msgspec

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]


class CodeOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The user of a login code."""

    appid: Id
    openid: Id | None = None
    unionid: Id | None = None


class PhoneCodeOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The number and the user of a phone code."""

    appid: Id
    phone: Id | None = None
    openid: Id | None = None


class AccountOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A user of an app."""

    appid: Id
    openid: Id


class EncryptOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The data to encrypt, and its user."""

    appid: Id
    openid: Id
    data: dict[str, object]


class PaymentOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The payer, and the numbers of the payment."""

    appid: Id
    openid: Id
    transaction_id: Id | None = None
    mch_id: Id | None = None
    out_trade_no: Id | None = None


class PagesOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The published pages of an app; null: every page exists."""

    appid: Id
    pages: list[Id] | None


class ScanOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The scene of a code, and its app."""

    scene: Id
    appid: Id | None = None


class Advance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far to advance the clock."""

    advance_seconds: float
