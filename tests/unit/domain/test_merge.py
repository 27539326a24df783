"""The merge of two users who are one person."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain.errors import RequestInvalid
from domain.identity import AppId, Identity
from domain.user import MERGED_FIELDS, PROFILE_LIMITS, Profile, User, merge, was_merged

THEN = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
NOW = THEN + timedelta(days=1)
HERE, THERE = Identity(AppId("wx1"), "oAnn"), Identity(AppId("wx2"), "oAnn2", "uAnn")
NOTHING: frozenset[str] = frozenset()


def user(user_id: str, account: Identity, **fields: str) -> User:
    """Return a user with one account and the given fields."""
    profile = Profile(**{name: text for name, text in fields.items() if name in PROFILE_LIMITS})
    kept: dict[str, Any] = {name: text for name, text in fields.items() if name not in PROFILE_LIMITS}
    return User(user_id, profile, THEN, THEN, accounts=(account,), **kept)


def field_of(user: User, name: str) -> str | None:
    """Return the user's value of a field."""
    return str(getattr(user.profile if name in PROFILE_LIMITS else user, name) or "")


@pytest.mark.parametrize("name", MERGED_FIELDS)
def test_a_merge_takes_over_missing_fields(name: str) -> None:
    """A field that is empty in one user comes from the other, in either direction."""
    having, lacking = user("1", HERE, **{name: "+8613800000000"}), user("2", THERE)

    assert field_of(merge(having, lacking, NOTHING, NOW), name) == "+8613800000000"
    assert field_of(merge(lacking, having, NOTHING, NOW), name) == "+8613800000000"


def test_the_remaining_user_has_the_data_of_both() -> None:
    """The remaining user retains its id and creation time, and has the accounts of both, its own first."""
    source, target = user("1", HERE, name="Ann", phone="+8613800000000"), user("2", THERE, city="上海", unionid="uAnn")

    assert merge(source, target, NOTHING, NOW) == User(
        "2",
        Profile(name="Ann", city="上海"),
        created_at=THEN,
        updated_at=NOW,
        unionid="uAnn",
        phone="+8613800000000",
        accounts=(THERE, HERE),
    )


def test_equal_fields_do_not_prevent_a_merge() -> None:
    """Fields with the same text in both users do not prevent a merge."""
    same = dict.fromkeys(MERGED_FIELDS, "same")
    merged = merge(user("1", HERE, **same), user("2", THERE, **same), NOTHING, NOW)

    assert {field_of(merged, name) for name in MERGED_FIELDS} == {"same"}


@pytest.mark.parametrize("name", MERGED_FIELDS)
def test_different_fields_prevent_a_merge(name: str) -> None:
    """A field with different texts raises RequestInvalid. The error names the field and the option to discard it."""
    source, target = user("1", HERE, **{name: "0mine"}), user("2", THERE, **{name: "0theirs"})

    with pytest.raises(RequestInvalid, match=rf"different {name}, and 1's .* with --discard {name}$") as refused:
        merge(source, target, NOTHING, NOW)

    assert "0mine" not in refused.value.detail
    assert "0theirs" not in refused.value.detail


def test_every_difference_is_named_at_once() -> None:
    """The error names all fields that must be discarded, and no others."""
    source = user("1", HERE, name="Ann", city="上海", phone="+1111111", country="中国")
    target = user("2", THERE, name="Anne", city="北京", phone="+2222222", language="zh")

    with pytest.raises(RequestInvalid) as refused:
        merge(source, target, frozenset({"city"}), NOW)

    assert "different name, phone," in refused.value.detail
    assert refused.value.detail.endswith("--discard name --discard phone")


@pytest.mark.parametrize("name", MERGED_FIELDS)
def test_a_discarded_field_keeps_the_value_of_the_remaining_user(name: str) -> None:
    """A discarded field keeps the text of the remaining user."""
    source, target = user("1", HERE, **{name: "mine"}), user("2", THERE, **{name: "theirs"})

    assert field_of(merge(source, target, frozenset({name}), NOW), name) == "theirs"


@pytest.mark.parametrize("name", MERGED_FIELDS)
def test_a_discardable_field_is_taken_over_if_the_other_is_empty(name: str) -> None:
    """A discardable field is still taken over when the remaining user has no text in it."""
    source, target = user("1", HERE, **{name: "mine"}), user("2", THERE)

    assert field_of(merge(source, target, frozenset({name}), NOW), name) == "mine"


def test_a_user_is_not_merged_into_itself() -> None:
    """A merge of a user into itself raises RequestInvalid."""
    ann = user("1", HERE)

    with pytest.raises(RequestInvalid, match="themselves"):
        merge(ann, replace(ann), NOTHING, NOW)


@pytest.mark.parametrize("name", ["id", "accounts", "created_at", "Name", ""])
def test_an_unknown_field_cannot_be_discarded(name: str) -> None:
    """An unknown field to discard raises RequestInvalid, which lists the valid fields."""
    with pytest.raises(RequestInvalid, match=rf"no {name} to discard; .*{', '.join(MERGED_FIELDS)}"):
        merge(user("1", HERE), user("2", THERE), frozenset({"name", name}), NOW)


def test_a_refused_merge_changes_neither() -> None:
    """A refused merge changes neither user."""
    source, target = user("1", HERE, name="Ann"), user("2", THERE, name="Anne")
    before = replace(source), replace(target)

    with pytest.raises(RequestInvalid):
        merge(source, target, NOTHING, NOW)

    assert (source, target) == before


def test_a_merge_in_the_reverse_direction_is_refused() -> None:
    """A merge in the reverse direction, after a merge, raises RequestInvalid."""
    left = user("1", HERE)

    assert not was_merged("1", "2", left, user("2", THERE))
    assert was_merged("2", "1", left, left)
    with pytest.raises(RequestInvalid, match="2 was merged into 1 before"):
        was_merged("1", "2", left, left)


def test_a_former_id_is_not_merged_into_another() -> None:
    """A merge by the id of a merged user into a third user raises RequestInvalid.

    An operator must name the current user.
    """
    merged_id, other = user("2", HERE), user("3", THERE)

    with pytest.raises(RequestInvalid, match="1 was merged into 2 before"):
        was_merged("1", "3", merged_id, other)
