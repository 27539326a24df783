"""Payments, after which a server may get the unionid of the payer.

https://developers.weixin.qq.com/miniprogram/dev/OpenApiDoc/user-info/basic-info/getPaidUnionid.html
"""

import secrets
from collections.abc import Callable
from typing import NamedTuple

from wechat_sandbox.accounts import Accounts
from wechat_sandbox.errors import ControlRefused, WeChatError, require
from wechat_sandbox.lru import LruDict

PAYMENT_LIFE_SECONDS = 300
PAYMENTS_REMEMBERED = 10_000


class Payment(NamedTuple):
    """The payer, and the time in Unix seconds."""

    openid: str
    paid_at: float


class Payments:
    """The last payments, by transaction_id and by mch_id with out_trade_no, valid for 300 seconds of `now`."""

    def __init__(self, now: Callable[[], float], accounts: Accounts) -> None:
        self._now = now
        self._accounts = accounts
        self._payments: LruDict[tuple[str, ...], Payment] = LruDict(PAYMENTS_REMEMBERED)

    def pay(
        self, appid: str, openid: str, transaction_id: str | None, mch_id: str | None, out_trade_no: str | None
    ) -> str:
        """Let a user pay, and return the transaction_id, a new one if none is given.

        Raises ControlRefused for one of mch_id and out_trade_no without the other.
        """
        if (mch_id is None) != (out_trade_no is None):
            raise ControlRefused("mch_id and out_trade_no go together")
        self._accounts.get(appid, openid)
        transaction_id = transaction_id or f"4200{secrets.randbelow(10**24):024}"
        payment = Payment(openid, self._now())
        self._payments[appid, transaction_id] = payment
        if mch_id and out_trade_no:
            self._payments[appid, mch_id, out_trade_no] = payment
        return transaction_id

    def unionid(self, appid: str, openid: str, transaction_id: str, mch_id: str, out_trade_no: str) -> str:
        """Return the unionid of the payer.

        Raises WeChatError, in this order: 40003 (no user of this app), 89300 (no payment of theirs in the last 300
        seconds), 89002 (the account has no unionid: the app is in no Open Platform account).
        """
        account = self._accounts.find(appid, openid)
        payment = self._payments.get((appid, transaction_id) if transaction_id else (appid, mch_id, out_trade_no))
        require(payment and payment.openid == openid, 89300)
        require(payment and self._now() < payment.paid_at + PAYMENT_LIFE_SECONDS, 89300)
        if account.unionid is None:
            raise WeChatError(89002)
        return account.unionid
