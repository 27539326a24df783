"""The texts of WeChat's errcodes."""

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
def test_the_form_of_the_rid_depends_on_the_path(path: str, pattern: str) -> None:
    """A rid starts with the time in hex. For /sns it follows a comma, and for other paths it does not."""
    assert re.fullmatch(pattern, errmsg(40029, path, NOW))


def test_each_answer_has_its_own_rid() -> None:
    """Each answer has its own rid."""
    assert errmsg(40029, "/sns/jscode2session", NOW) != errmsg(40029, "/sns/jscode2session", NOW)


def test_some_texts_have_no_rid() -> None:
    """The text of -1 has no rid, and that of 40226 has a req_id instead."""
    assert errmsg(-1, "/sns/jscode2session", NOW) == "system error"
    assert re.fullmatch(r"code blocked, hints: \[ req_id: [\w-]{15} \]", errmsg(40226, "/sns/jscode2session", NOW))


@pytest.mark.parametrize("errcode", [*TEXTS, 99999])
def test_every_errcode_has_a_text(errcode: int) -> None:
    """Every errcode has a complete text, also one without an entry."""
    text = errmsg(errcode, "/sns/jscode2session", NOW)

    assert text
    assert "{" not in text
