"""Texts in fewer bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.redis.packing import APPID, FORMS, IPV4, IPV6, OPENID, UUID, Form, pack, unpack

WRITTEN = [
    ("6ba7b810-9dad-11d1-80b4-00c04fd430c8", UUID, "006ba7b8109dad11d180b400c04fd430c8"),
    ("wx0123456789abcdef", APPID, "010123456789abcdef"),
    ("oVBkZ0aYgDMDIywRdgPW8-joxXc4", OPENID, "02a15064674698803303232c117603d6f3e8e8c57738"),
    ("203.0.113.7", IPV4, "03cb007107"),
    ("2001:db8::1", IPV6, "0420010db8000000000000000000000001"),
    ("anna", UUID, "fe0004616e6e61"),
]


HEX, BASE64 = "0123456789abcdefABCDEF", "ABCDEFabcdef0123456789_-="
TEXTS = st.one_of(
    st.none(),
    st.text(st.characters(codec="utf-8"), max_size=40),
    st.uuids().map(str),
    st.ip_addresses().map(str),
    st.text(HEX, min_size=16, max_size=16).map("wx{}".format),
    st.text(BASE64, min_size=28, max_size=28),
)


@given(st.lists(TEXTS, max_size=6))
def test_what_is_packed_comes_back(texts: list[str | None]) -> None:
    """Whatever the texts are, they come back to the letter, one behind the other, and so does what follows them."""
    packed = b"".join(pack(text, *FORMS) for text in texts)

    assert unpack(b"before" + packed + b"after", 6, len(texts)) == (texts, 6 + len(packed))


@pytest.mark.parametrize("text", ["WX0123456789abcdef", "wx0123456789ABCDEF", "6BA7B810-9dad-11d1-80b4-00c04fd430c8"])
def test_another_spelling_is_another_text(text: str) -> None:
    """What reads the same to a program but not to the letter is kept to the letter."""
    assert unpack(pack(text, *FORMS), 0, 1) == ([text], 3 + len(text))


@pytest.mark.parametrize(("text", "form", "written"), WRITTEN)
def test_what_was_written_once_can_be_read_for_ever(text: str, form: Form, written: str) -> None:
    """The forms' codes are part of the format: what an earlier version wrote is read by the next."""
    stored = bytes.fromhex(written)

    assert pack(text, form) == stored
    assert unpack(stored, 0, 1) == ([text], len(stored))
