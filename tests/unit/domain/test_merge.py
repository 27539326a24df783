"""Two users who turn out to be one person."""

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
    """Somebody with one account, and these of the fields that two can disagree about."""
    profile = Profile(**{name: text for name, text in fields.items() if name in PROFILE_LIMITS})
    kept: dict[str, Any] = {name: text for name, text in fields.items() if name not in PROFILE_LIMITS}
    return User(user_id, profile, THEN, THEN, accounts=(account,), **kept)


def field_of(user: User, name: str) -> str | None:
    """What the user says there."""
    return str(getattr(user.profile if name in PROFILE_LIMITS else user, name) or "")


@pytest.mark.parametrize("name", MERGED_FIELDS)
def test_a_merge_takes_over_missing_fields(name: str) -> None:
    """A field that is empty in the one user comes from the other, whichever has it."""
    having, lacking = user("1", HERE, **{name: "+8613800000000"}), user("2", THERE)

    assert field_of(merge(having, lacking, NOTHING, NOW), name) == "+8613800000000"
    assert field_of(merge(lacking, having, NOTHING, NOW), name) == "+8613800000000"


def test_all_that_is_merged_is_one_user() -> None:
    """The user that is left keeps id and birth, has the accounts of both, its own first, and was changed now."""
    one, into = user("1", HERE, name="Ann", phone="+8613800000000"), user("2", THERE, city="上海", unionid="uAnn")

    assert merge(one, into, NOTHING, NOW) == User(
        "2",
        Profile(name="Ann", city="上海"),
        created_at=THEN,
        updated_at=NOW,
        unionid="uAnn",
        phone="+8613800000000",
        accounts=(THERE, HERE),
    )


def test_two_who_say_the_same_agree() -> None:
    """Fields with the same text in both are no reason to refuse."""
    same = dict.fromkeys(MERGED_FIELDS, "same")
    merged = merge(user("1", HERE, **same), user("2", THERE, **same), NOTHING, NOW)

    assert {field_of(merged, name) for name in MERGED_FIELDS} == {"same"}


@pytest.mark.parametrize("name", MERGED_FIELDS)
def test_two_who_differ_are_not_merged(name: str) -> None:
    """A field in which both differ is RequestInvalid, which names it and the option that lets it go, not its text."""
    one, into = user("1", HERE, **{name: "0mine"}), user("2", THERE, **{name: "0theirs"})

    with pytest.raises(RequestInvalid, match=rf"different {name}, and 1's .*: --discard {name}$") as refused:
        merge(one, into, NOTHING, NOW)

    assert "0mine" not in refused.value.detail
    assert "0theirs" not in refused.value.detail


def test_every_difference_is_named_at_once() -> None:
    """Whoever is refused learns all that has to be discarded, and nothing that does not."""
    one = user("1", HERE, name="Ann", city="上海", phone="+1111111", country="中国")
    into = user("2", THERE, name="Anne", city="北京", phone="+2222222", language="zh")

    with pytest.raises(RequestInvalid) as refused:
        merge(one, into, frozenset({"city"}), NOW)

    assert "different name, phone," in refused.value.detail
    assert refused.value.detail.endswith("--discard name --discard phone")


@pytest.mark.parametrize("name", MERGED_FIELDS)
def test_a_discarded_field_keeps_the_value_of_the_remaining_user(name: str) -> None:
    """A field that is to be discarded keeps the text of the user that is left."""
    one, into = user("1", HERE, **{name: "mine"}), user("2", THERE, **{name: "theirs"})

    assert field_of(merge(one, into, frozenset({name}), NOW), name) == "theirs"


@pytest.mark.parametrize("name", MERGED_FIELDS)
def test_a_discardable_field_is_taken_over_if_the_other_is_empty(name: str) -> None:
    """A field that may be discarded is still taken over where the user that is left has none."""
    one, into = user("1", HERE, **{name: "mine"}), user("2", THERE)

    assert field_of(merge(one, into, frozenset({name}), NOW), name) == "mine"


def test_a_user_is_not_merged_into_themselves() -> None:
    """Merging a user with themselves is RequestInvalid."""
    ann = user("1", HERE)

    with pytest.raises(RequestInvalid, match="themselves"):
        merge(ann, replace(ann), NOTHING, NOW)


@pytest.mark.parametrize("name", ["id", "accounts", "created_at", "Name", ""])
def test_an_unknown_field_cannot_be_discarded(name: str) -> None:
    """A field that two users cannot disagree about is RequestInvalid, which lists those that they can."""
    with pytest.raises(RequestInvalid, match=rf"no {name} to discard; .*{', '.join(MERGED_FIELDS)}"):
        merge(user("1", HERE), user("2", THERE), frozenset({"name", name}), NOW)


def test_a_refused_merge_changes_neither() -> None:
    """What was refused leaves both as they were."""
    one, into = user("1", HERE, name="Ann"), user("2", THERE, name="Anne")
    before = replace(one), replace(into)

    with pytest.raises(RequestInvalid):
        merge(one, into, NOTHING, NOW)

    assert (one, into) == before


def test_a_merge_the_other_way_round_is_refused() -> None:
    """Who was merged into somebody cannot have them merged into themselves: there is nothing left to merge."""
    left = user("1", HERE)

    assert not was_merged("1", "2", left, user("2", THERE))
    assert was_merged("2", "1", left, left)
    with pytest.raises(RequestInvalid, match="2 was merged into 1 before"):
        was_merged("1", "2", left, left)


def test_a_former_id_is_not_merged_into_another() -> None:
    """Who was merged into somebody else is not meant when that one is merged on: an operator has to say so."""
    now_is, other = user("2", HERE), user("3", THERE)

    with pytest.raises(RequestInvalid, match="1 was merged into 2 before"):
        was_merged("1", "3", now_is, other)
