"""An errcode in WeChat's answer, as an error of ours."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from adapters.wechat.errcodes import ERRCODES
from domain.errors import WeChatUnavailable, WxLoginError

RID = re.compile(r"\brid: ([0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8})|\breq_id: ([A-Za-z0-9._-]{1,64})")
"""How an errmsg names the request, which WeChat's support asks for: newer texts have a rid, older ones a req_id."""

ADDRESS = re.compile(r"invalid ip ([0-9a-f.:]+)")
"""How 40164 names the address that WeChat sees."""


def error_of(number: int, errmsg: str = "") -> WxLoginError:
    """What the error code means to us. One that nobody knows is WeChat's fault until it is explained."""
    found = RID.search(errmsg)
    rid = found and (found[1] or found[2])
    known = ERRCODES.get(number)
    if known is None:
        return WeChatUnavailable(
            f"WeChat answers with error {number}, which is not known here", errcode=number, rid=rid
        )
    address = ADDRESS.search(errmsg)
    where = f" ({address[1]})" if address else ""
    return known.error(f"{known.meaning}{where}. {known.mend}", errcode=number, rid=rid)


@contextmanager
def meaning(here: Mapping[int, tuple[type[WxLoginError], str]]) -> Iterator[None]:
    """In one call an errcode may mean something else than in all others: by number, the error it is and its text."""
    try:
        yield
    except WxLoginError as error:
        if error.errcode is None or error.errcode not in here:
            raise
        kind, detail = here[error.errcode]
        raise kind(detail, errcode=error.errcode, rid=error.rid) from None
