"""The users of the service, and their data."""

from dataclasses import asdict, fields
from unicodedata import category

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.errors import RequestInvalid
from domain.user import PROFILE_LIMITS, Payment, PhoneNumber, Profile, ProfileChange

LIMITS = PROFILE_LIMITS.items()
FAMILY = "👩\N{ZERO WIDTH JOINER}👩\N{ZERO WIDTH JOINER}👧"
CONTROLS = ["\x00", "\t", "\n", "\r", "\x1b", "\x1f", "\x7f", "\x80", "\x85", "\x9f", "\ud800", "\udfff"]


def test_every_profile_field_can_be_changed_and_has_a_limit() -> None:
    """Profile, ProfileChange and the limits have the same fields."""
    names = list(PROFILE_LIMITS)

    assert [field.name for field in fields(Profile)] == names
    assert [field.name for field in fields(ProfileChange)] == names


@pytest.mark.parametrize(("name", "limit"), LIMITS)
def test_text_as_long_as_the_limit_is_accepted(name: str, limit: int) -> None:
    """A field accepts as many characters as its limit, with any number of bytes."""
    text = "\N{MAHJONG TILE RED DRAGON}" * limit

    assert ProfileChange(**{name: text}).fields() == {name: text}


@pytest.mark.parametrize(("name", "limit"), LIMITS)
def test_text_longer_than_the_limit_is_refused(name: str, limit: int) -> None:
    """One character more than the limit raises RequestInvalid, which names the field and the limit."""
    with pytest.raises(RequestInvalid, match=f"{name} .* {limit} "):
        ProfileChange(**{name: "x" * (limit + 1)})


@pytest.mark.parametrize("control", CONTROLS, ids=ascii)
@pytest.mark.parametrize("name", PROFILE_LIMITS)
def test_control_characters_are_refused(name: str, control: str) -> None:
    """Text with a control character or half of a surrogate pair raises RequestInvalid, which names the field."""
    with pytest.raises(RequestInvalid, match=name):
        ProfileChange(**{name: f"a{control}b"})


@pytest.mark.parametrize("text", ["", " ", "李雷", "O'Brien", FAMILY, "🇨🇳", "\N{NO-BREAK SPACE}", "שלום"], ids=ascii)
def test_names_of_people_are_accepted(text: str) -> None:
    """A name may be in any script, have emoji with zero width joiners, or be empty."""

    assert ProfileChange(name=text).fields() == {"name": text}


@given(st.sampled_from(list(PROFILE_LIMITS)), st.text(st.characters(exclude_categories=()), max_size=70))
@settings(max_examples=100)
def test_any_text_is_accepted_or_refused(name: str, text: str) -> None:
    """Text is refused only if it is too long, or has a control character or half of a surrogate pair."""
    fits = len(text) <= PROFILE_LIMITS[name] and not {"Cc", "Cs"} & {category(character) for character in text}
    accepted = True
    try:
        ProfileChange(**{name: text})
    except RequestInvalid:
        accepted = False

    assert accepted == fits


def test_a_change_has_the_fields_that_are_not_none() -> None:
    """A change has the given fields, empty text included, and no others."""

    assert ProfileChange(name="李雷", avatar="", city=None).fields() == {"name": "李雷", "avatar": ""}


def test_a_change_of_nothing_has_no_fields() -> None:
    """A change without fields is empty."""

    assert ProfileChange().fields() == {}


def test_a_new_profile_is_empty() -> None:
    """All fields of a new profile are empty text."""

    assert set(asdict(Profile()).values()) == {""}


@pytest.mark.parametrize("value", ["+8613800000000", "+12025550123", "+29012", "+123456789012345"])
def test_a_number_in_e_164_is_a_phone_number(value: str) -> None:
    """A plus, a country code and 5 to 15 digits in total are a phone number."""
    assert PhoneNumber(value).value == value


@pytest.mark.parametrize(
    "value",
    [
        "",
        "+",
        "13800000000",
        "+08613800000000",
        "+8613",
        "+1234567890123456",
        "+86 138 0000 0000",
        "+86-13800000000",
        "++8613800000000",
        "+8613800000000\n",
        "+86None",
        "+８613800000000",
        "+٨613800000000",
        "0013800000000",
    ],
    ids=ascii,
)
def test_a_phone_number_must_be_in_e_164(value: str) -> None:
    """Other text raises ValueError, which does not repeat the text, because it may be a phone number."""
    with pytest.raises(ValueError, match=r"E\.164") as refused:
        PhoneNumber(value)

    assert not value.strip() or len(value) < 5 or value not in str(refused.value)


@pytest.mark.parametrize(
    "parts",
    [
        {"transaction_id": "4200001234202603010000000001"},
        {"mch_id": "1900000109", "out_trade_no": "order-1"},
        {"transaction_id": "t", "mch_id": "m", "out_trade_no": "o"},
        {"transaction_id": "t", "mch_id": "m"},
        {"transaction_id": "!" * 64},
    ],
    ids=str,
)
def test_a_payment_is_identified_by_wechat_or_by_the_merchant(parts: dict[str, str]) -> None:
    """A payment is identified by WeChat's transaction id, or by the merchant's two ids together."""
    payment = Payment(**parts)

    assert {name: part for name, part in asdict(payment).items() if part} == parts


@pytest.mark.parametrize(
    "parts",
    [{}, {"mch_id": "m"}, {"out_trade_no": "o"}, {"transaction_id": ""}, {"mch_id": "", "out_trade_no": "o"}],
    ids=str,
)
def test_an_incomplete_payment_is_refused(parts: dict[str, str]) -> None:
    """An incomplete or empty payment raises RequestInvalid, which says what to send."""
    with pytest.raises(RequestInvalid, match="send transaction_id, or mch_id and out_trade_no"):
        Payment(**parts)


@pytest.mark.parametrize("text", ["", " ", "a b", "a\n", "订单", "x" * 65, "\x00"], ids=ascii)
@pytest.mark.parametrize("name", ["transaction_id", "mch_id", "out_trade_no"])
def test_a_payment_id_is_printable(name: str, text: str) -> None:
    """A part that is empty, too long, or has characters other than visible ASCII raises RequestInvalid."""
    with pytest.raises(RequestInvalid):
        Payment(**{"transaction_id": "t", "mch_id": "m", "out_trade_no": "o", name: text})
