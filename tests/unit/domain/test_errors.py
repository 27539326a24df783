"""Everything that can be refused or fail."""

import re
from collections.abc import Iterator
from datetime import timedelta

import pytest

from domain import errors
from domain.errors import (
    IdentityProviderUnavailable,
    RateLimited,
    Retry,
    StoreUnavailable,
    Unavailable,
    WxLoginError,
    error_named,
)
from domain.identity import code_may_be_spent

TREE_LINE = re.compile(r"^ {4}(?P<branch>[│├└─ ]*)(?P<name>[A-Z]\w+)(?: {2,}(?P<meaning>\S.*))?$", re.MULTILINE)


def children(parent: type[WxLoginError]) -> list[type[WxLoginError]]:
    """The classes right below it in domain.errors; adapters and tests may have more."""
    return [child for child in parent.__subclasses__() if child.__module__ == errors.__name__]


def descend(parent: type[WxLoginError], depth: int = 0) -> Iterator[tuple[int, type[WxLoginError]]]:
    """The class and all below it, each with its depth."""
    yield depth, parent
    for child in children(parent):
        yield from descend(child, depth + 1)


TREE = list(descend(WxLoginError))
RAISED = [error for _, error in TREE if not children(error)]


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    """The module's docstring draws exactly the classes there are, in their order and nesting."""
    drawn = [(len(line["branch"]) // 4, line["name"]) for line in TREE_LINE.finditer(errors.__doc__ or "")]

    assert drawn == [(depth, error.__name__) for depth, error in TREE]


def test_the_tree_in_the_docstring_explains_what_can_be_raised() -> None:
    """Every class that can be raised has its meaning beside it, those with an obvious name aside."""
    unexplained = {line["name"] for line in TREE_LINE.finditer(errors.__doc__ or "") if not line["meaning"]}

    assert unexplained == {"WxLoginError", "Unauthenticated", "Unavailable", "TokenMissing"}


@pytest.mark.parametrize("error", RAISED)
def test_an_error_says_all_that_is_needed(error: type[WxLoginError]) -> None:
    """An error that can be raised has a code for programs, a title for people, and a word on retrying."""

    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", error.code)
    assert error.title
    assert isinstance(error.retry, Retry)
    assert error.retry_after > timedelta()


def test_no_two_errors_share_a_code() -> None:
    """A code means one error."""
    codes = [error.code for error in RAISED]

    assert len(codes) == len(set(codes))


@pytest.mark.parametrize("branch", [error for _, error in TREE if children(error)])
def test_a_family_of_errors_is_none_itself(branch: type[WxLoginError]) -> None:
    """A class with classes below it only sums them up: it has no code, so that nobody raises it."""

    assert not hasattr(branch, "code")


@pytest.mark.parametrize("error", RAISED)
def test_an_error_without_words_says_its_title(error: type[WxLoginError]) -> None:
    """Raised without a text, an error has its title as one."""

    assert error().detail == str(error()) == error.title


def test_an_error_carries_what_wechat_said() -> None:
    """An error keeps its own text, WeChat's errcode and WeChat's rid."""
    error = RateLimited("slower", errcode=45011, rid="6374a1b2-0c3d4e5f-12ab34cd")

    assert (error.detail, error.errcode, error.rid) == ("slower", 45011, "6374a1b2-0c3d4e5f-12ab34cd")


def test_retry_of_one_error_does_not_change_its_class() -> None:
    """Another word on retrying in one error changes no other error of its kind."""
    StoreUnavailable().retry = Retry.NEW_CODE

    assert StoreUnavailable().retry is Retry.LATER


@pytest.mark.parametrize("error", RAISED)
def test_an_error_is_found_by_its_code(error: type[WxLoginError]) -> None:
    """Every code of the tree names its error, so that one that was written down can be raised again."""
    assert error_named(error.code) is error


@pytest.mark.parametrize("code", ["", "unavailable", "IdentityProviderUnavailable", "wechat_unavailable "])
def test_an_unknown_code_names_no_error(code: str) -> None:
    """Text that is no code is a KeyError, families of errors included."""
    with pytest.raises(KeyError):
        error_named(code)


def test_a_kind_that_an_adapter_adds_takes_no_code_away() -> None:
    """An adapter's own kind of an error leaves the code to the error itself."""

    class Own(IdentityProviderUnavailable):
        """An error of an adapter."""

    assert Own.code == "wechat_unavailable"
    assert error_named("wechat_unavailable") is IdentityProviderUnavailable


@pytest.mark.parametrize("kind", RAISED)
def test_a_failure_after_a_code_was_sent_asks_for_a_new_one(kind: type[WxLoginError]) -> None:
    """What is unavailable then says that only a new code helps; a refusal says what it always says."""
    with pytest.raises(kind) as failed, code_may_be_spent():
        raise kind

    assert failed.value.retry is (Retry.NEW_CODE if issubclass(kind, Unavailable) else kind.retry)
