"""Who somebody is to us."""

from dataclasses import asdict, fields
from unicodedata import category

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.errors import RequestInvalid
from domain.user import PROFILE_LIMITS, Profile, ProfileChange

LIMITS = PROFILE_LIMITS.items()
FAMILY = "👩\N{ZERO WIDTH JOINER}👩\N{ZERO WIDTH JOINER}👧"
CONTROLS = ["\x00", "\t", "\n", "\r", "\x1b", "\x1f", "\x7f", "\x80", "\x85", "\x9f", "\ud800", "\udfff"]


def test_every_profile_field_can_be_changed_and_has_a_limit() -> None:
    """Profile, ProfileChange and the limits name the same fields."""
    names = list(PROFILE_LIMITS)

    assert [field.name for field in fields(Profile)] == names
    assert [field.name for field in fields(ProfileChange)] == names


@pytest.mark.parametrize(("name", "limit"), LIMITS)
def test_text_as_long_as_the_limit_is_accepted(name: str, limit: int) -> None:
    """A field takes as many characters as its limit says, whatever their size in bytes."""
    text = "\N{MAHJONG TILE RED DRAGON}" * limit

    assert ProfileChange(**{name: text}).fields() == {name: text}


@pytest.mark.parametrize(("name", "limit"), LIMITS)
def test_text_longer_than_the_limit_is_refused(name: str, limit: int) -> None:
    """One character more than the limit is RequestInvalid, which names field and limit."""
    with pytest.raises(RequestInvalid, match=f"{name} .* {limit} "):
        ProfileChange(**{name: "x" * (limit + 1)})


@pytest.mark.parametrize("control", CONTROLS, ids=ascii)
@pytest.mark.parametrize("name", PROFILE_LIMITS)
def test_control_characters_are_refused(name: str, control: str) -> None:
    """Text with a control character or half of a surrogate pair is RequestInvalid, which names the field."""
    with pytest.raises(RequestInvalid, match=name):
        ProfileChange(**{name: f"a{control}b"})


@pytest.mark.parametrize("text", ["", " ", "李雷", "O'Brien", FAMILY, "🇨🇳", "\N{NO-BREAK SPACE}", "שלום"], ids=ascii)
def test_names_of_people_are_accepted(text: str) -> None:
    """A name may be in any script, with emoji joined by zero width joiners, or empty."""

    assert ProfileChange(name=text).fields() == {"name": text}


@given(st.sampled_from(list(PROFILE_LIMITS)), st.text(st.characters(exclude_categories=()), max_size=70))
@settings(max_examples=100, deadline=None)
def test_any_text_is_accepted_or_refused(name: str, text: str) -> None:
    """Text is refused if it is too long or has a control character or half a surrogate pair, and for nothing else."""
    fits = len(text) <= PROFILE_LIMITS[name] and not {"Cc", "Cs"} & {category(character) for character in text}
    accepted = True
    try:
        ProfileChange(**{name: text})
    except RequestInvalid:
        accepted = False

    assert accepted == fits


def test_a_change_names_what_is_not_none() -> None:
    """A change has the fields that were given, empty text included, and no other."""

    assert ProfileChange(name="李雷", avatar="", city=None).fields() == {"name": "李雷", "avatar": ""}


def test_a_change_of_nothing_has_no_fields() -> None:
    """A change that names no field changes none."""

    assert ProfileChange().fields() == {}


def test_a_new_profile_says_nothing() -> None:
    """All fields of a new profile are empty text."""

    assert set(asdict(Profile()).values()) == {""}
