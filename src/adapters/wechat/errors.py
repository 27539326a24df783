"""Map errcodes of WeChat's responses to errors of the domain."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from adapters.wechat.errcodes import ERRCODES
from domain.errors import IdentityProviderUnavailable, WxLoginError

RID = re.compile(r"\brid: ([0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8})|\breq_id: ([A-Za-z0-9._-]{1,64})")
"""The request id in an errmsg, which WeChat's support asks for: a rid in newer texts, a req_id in older ones."""

ADDRESS = re.compile(r"invalid ip ([0-9a-f.:]+)")
"""The address of this server in the errmsg of 40164."""


def error_of(number: int, errmsg: str = "") -> WxLoginError:
    """Return the error for an errcode. An unknown one is IdentityProviderUnavailable."""
    found = RID.search(errmsg)
    rid = found and (found[1] or found[2])
    known = ERRCODES.get(number)
    if known is None:
        return IdentityProviderUnavailable(
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
