"""The errors of the domain."""

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
    """Return the direct subclasses in domain.errors. Adapters and tests may have more."""
    return [child for child in parent.__subclasses__() if child.__module__ == errors.__name__]


def descend(parent: type[WxLoginError], depth: int = 0) -> Iterator[tuple[int, type[WxLoginError]]]:
    """Yield the class and all its subclasses, each with its depth."""
    yield depth, parent
    for child in children(parent):
        yield from descend(child, depth + 1)


TREE = list(descend(WxLoginError))
RAISED = [error for _, error in TREE if not children(error)]


def test_the_docstring_has_the_tree_of_errors() -> None:
    """The tree in the module's docstring has exactly the classes of the module, in their order and nesting."""
    drawn = [(len(line["branch"]) // 4, line["name"]) for line in TREE_LINE.finditer(errors.__doc__ or "")]

    assert drawn == [(depth, error.__name__) for depth, error in TREE]


def test_the_docstring_explains_every_error_that_can_be_raised() -> None:
    """Every class that can be raised has an explanation in the tree, unless its name is obvious."""
    unexplained = {line["name"] for line in TREE_LINE.finditer(errors.__doc__ or "") if not line["meaning"]}

    assert unexplained == {"WxLoginError", "Unauthenticated", "Unavailable", "TokenMissing"}


@pytest.mark.parametrize("error", RAISED)
def test_an_error_has_code_title_and_retry(error: type[WxLoginError]) -> None:
    """Every error that can be raised has a code, a title, and advice on retries."""

    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", error.code)
    assert error.title
    assert isinstance(error.retry, Retry)
    assert error.retry_after > timedelta()


def test_no_two_errors_share_a_code() -> None:
    """Two errors never have the same code."""
    codes = [error.code for error in RAISED]

    assert len(codes) == len(set(codes))


@pytest.mark.parametrize("branch", [error for _, error in TREE if children(error)])
def test_an_error_with_subclasses_has_no_code(branch: type[WxLoginError]) -> None:
    """A class with subclasses has no code, so that it is not raised itself."""

    assert not hasattr(branch, "code")


@pytest.mark.parametrize("error", RAISED)
def test_an_error_without_text_has_its_title_as_text(error: type[WxLoginError]) -> None:
    """An error that is raised without a text has its title as its text."""

    assert error().detail == str(error()) == error.title


def test_an_error_has_wechats_errcode_and_rid() -> None:
    """An error has its own text, WeChat's errcode and WeChat's rid."""
    error = RateLimited("slower", errcode=45011, rid="6374a1b2-0c3d4e5f-12ab34cd")

    assert (error.detail, error.errcode, error.rid) == ("slower", 45011, "6374a1b2-0c3d4e5f-12ab34cd")


@pytest.mark.parametrize("kind", RAISED)
def test_an_error_that_asks_for_a_new_code_is_a_copy(kind: type[WxLoginError]) -> None:
    """The copy has the class, the text and the data of the error, and `retry` of the error and its class stays."""
    error = kind("slower", errcode=45011, rid="6374a1b2-0c3d4e5f-12ab34cd")
    error.appid, error.user_id, error.retry_after = "wx0000000000000001", "ann", timedelta(seconds=9)

    changed = error.asking_for_new_code()

    assert type(changed) is kind
    assert changed.args == error.args == ("slower",)
    assert vars(changed) == {**vars(error), "retry": Retry.NEW_CODE}
    assert (error.retry, kind().retry) == (kind.retry, kind.retry)


@pytest.mark.parametrize("error", RAISED)
def test_an_error_is_found_by_its_code(error: type[WxLoginError]) -> None:
    """Every code of the tree finds its error, so that a stored error can be raised again."""
    assert error_named(error.code) is error


@pytest.mark.parametrize("code", ["", "unavailable", "IdentityProviderUnavailable", "wechat_unavailable "])
def test_an_unknown_code_names_no_error(code: str) -> None:
    """Text that is not a code raises KeyError, and so does the name of a class with subclasses."""
    with pytest.raises(KeyError):
        error_named(code)


def test_a_subclass_in_an_adapter_does_not_take_over_the_code() -> None:
    """An adapter's subclass of an error does not replace the error that the code finds."""

    class Own(IdentityProviderUnavailable):
        """An error of an adapter."""

    assert Own.code == "wechat_unavailable"
    assert error_named("wechat_unavailable") is IdentityProviderUnavailable


@pytest.mark.parametrize("kind", RAISED)
def test_a_failure_after_a_code_was_sent_asks_for_a_new_one(kind: type[WxLoginError]) -> None:
    """After a code was sent, an unavailable error asks for a new code. A refusal keeps its own advice."""
    with pytest.raises(kind) as failed, code_may_be_spent():
        raise kind

    assert failed.value.retry is (Retry.NEW_CODE if issubclass(kind, Unavailable) else kind.retry)


def test_a_failure_after_a_code_was_sent_keeps_its_cause() -> None:
    """The error that asks for a new code has the cause of the first one, for the log, and not the first one itself."""
    with pytest.raises(StoreUnavailable) as failed, code_may_be_spent():
        raise StoreUnavailable from ConnectionRefusedError("5432")

    assert isinstance(failed.value.__cause__, ConnectionRefusedError)
