"""The texts of WeChat's errors."""

import re

import pytest

from wechat_sandbox.errcodes import TEXTS, errmsg

NOW = 0x6374A1B2


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("/sns/jscode2session", r"invalid code, rid: 6374a1b2-[0-9a-f]{8}-[0-9a-f]{8}"),
        ("/wxa/checksession", r"invalid code rid: 6374a1b2-[0-9a-f]{8}-[0-9a-f]{8}"),
        ("/cgi-bin/stable_token", r"invalid code rid: 6374a1b2-[0-9a-f]{8}-[0-9a-f]{8}"),
    ],
)
def test_the_rid_follows_as_the_path_has_it(path: str, pattern: str) -> None:
    """A rid starts with the time in hex, after a comma for /sns and without one elsewhere."""
    assert re.fullmatch(pattern, errmsg(40029, path, NOW))


def test_two_answers_have_two_rids() -> None:
    """A rid names one answer."""
    assert errmsg(40029, "/sns/jscode2session", NOW) != errmsg(40029, "/sns/jscode2session", NOW)


def test_the_texts_that_have_no_rid() -> None:
    """A busy WeChat gives none, and a blocked code has a req_id instead."""
    assert errmsg(-1, "/sns/jscode2session", NOW) == "system error"
    assert re.fullmatch(r"code blocked, hints: \[ req_id: [\w-]{15} \]", errmsg(40226, "/sns/jscode2session", NOW))


@pytest.mark.parametrize("errcode", [*TEXTS, 99999])
def test_every_errcode_has_a_text(errcode: int) -> None:
    """Every text comes out whole, and an errcode without one says so."""
    text = errmsg(errcode, "/sns/jscode2session", NOW)

    assert text
    assert "{" not in text
