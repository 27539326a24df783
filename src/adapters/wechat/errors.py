"""Map errcodes of WeChat's responses to errors of the domain."""

import re
from collections.abc import Mapping
from types import MappingProxyType

from adapters.wechat.errcodes import ERRCODES, WeChatUnavailable
from domain.errors import WxLoginError

RID = re.compile(r"\brid: ([0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8})|\breq_id: ([A-Za-z0-9._-]{1,64})")
"""The request id in an errmsg, which WeChat's support asks for: a rid in newer texts, a req_id in older ones."""

ADDRESS = re.compile(r"invalid ip ([0-9a-f.:]+)")
"""The address of this server in the errmsg of 40164."""


Meanings = Mapping[int, tuple[type[WxLoginError], str]]
"""Errcodes that mean something else in one call than in all others: the error and its text, by errcode."""


def error_of(number: int, errmsg: str = "", meanings: Meanings = MappingProxyType({})) -> WxLoginError:
    """Return the error for an errcode. An unknown one is WeChatUnavailable."""
    found = RID.search(errmsg)
    rid = found and (found[1] or found[2])
    if number in meanings:
        error, detail = meanings[number]
        return error(detail, errcode=number, rid=rid)
    known = ERRCODES.get(number)
    if known is None:
        return WeChatUnavailable(
            f"WeChat answers with error {number}, which is not known here", errcode=number, rid=rid
        )
    address = ADDRESS.search(errmsg)
    where = f" ({address[1]})" if address else ""
    return known.error(f"{known.meaning}{where}. {known.hint}", errcode=number, rid=rid)
