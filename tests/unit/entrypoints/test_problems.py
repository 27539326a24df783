"""Errors of the domain as problems over HTTP."""

from collections.abc import Iterator

import msgspec
import pytest

import domain.errors
from domain.errors import (
    AdminKeyInvalid,
    AppMisconfigured,
    AppUnknown,
    CodeInvalid,
    CodeMissing,
    CodeUsed,
    DataUndecryptable,
    IdentityProviderBadResponse,
    IdentityProviderUnavailable,
    NotFound,
    PhoneTaken,
    RateLimited,
    RequestInvalid,
    ScopeMissing,
    SessionEnded,
    SessionExpired,
    SessionReplaced,
    StoreUnavailable,
    TokenInvalid,
    TokenMissing,
    UserBlocked,
    UserBlockedByProvider,
    WatermarkMismatch,
    WxLoginError,
)
from entrypoints.http.errors import headers_of
from entrypoints.problems import (
    CLIENT_DETAILS,
    OUTCOMES,
    Problem,
    explained,
    outcome_of,
)

CONTRACT = [
    (RequestInvalid, "request_invalid", 400, 2, "never"),
    (CodeMissing, "code_missing", 400, 2, "never"),
    (CodeInvalid, "code_invalid", 400, 3, "new_code"),
    (CodeUsed, "code_used", 400, 3, "new_code"),
    (UserBlockedByProvider, "user_blocked_by_wechat", 403, 3, "never"),
    (UserBlocked, "user_blocked", 403, 3, "never"),
    (AppUnknown, "app_unknown", 400, 2, "never"),
    (AppMisconfigured, "app_misconfigured", 500, 5, "never"),
    (RateLimited, "rate_limited", 429, 4, "later"),
    (IdentityProviderUnavailable, "wechat_unavailable", 503, 4, "later"),
    (IdentityProviderBadResponse, "wechat_bad_answer", 502, 4, "later"),
    (StoreUnavailable, "store_unavailable", 503, 4, "later"),
    (TokenMissing, "token_missing", 401, 3, "new_code"),
    (TokenInvalid, "token_invalid", 401, 3, "new_code"),
    (SessionExpired, "session_expired", 401, 3, "new_code"),
    (SessionEnded, "session_ended", 401, 3, "new_code"),
    (SessionReplaced, "session_replaced", 401, 3, "new_code"),
    (AdminKeyInvalid, "admin_key_invalid", 401, 3, "never"),
    (ScopeMissing, "scope_missing", 403, 3, "never"),
    (PhoneTaken, "phone_taken", 409, 3, "never"),
    (NotFound, "not_found", 404, 3, "never"),
    (DataUndecryptable, "data_undecryptable", 400, 3, "new_code"),
    (WatermarkMismatch, "watermark_mismatch", 400, 3, "never"),
]
"""Section 4 of the public interface. Where a code may be used, the caller that sent it sets `retry`."""


def tree(root: type[WxLoginError]) -> Iterator[type[WxLoginError]]:
    """Yield all subclasses of `root`, from any module."""
    for kind in root.__subclasses__():
        yield kind
        yield from tree(kind)


every_kind = pytest.mark.parametrize("kind", OUTCOMES, ids=lambda kind: kind.__name__)


@pytest.mark.parametrize(("kind", "code", "http", "status", "retry"), CONTRACT)
def test_an_error_has_the_outcome_of_the_contract(
    kind: type[WxLoginError], code: str, http: int, status: int, retry: str
) -> None:
    """The code, HTTP status, exit status and retry advice of every error are the published ones."""
    assert (kind.code, *OUTCOMES[kind], kind.retry) == (code, http, status, retry)


def test_every_error_of_the_domain_has_a_row() -> None:
    """The table has exactly the errors that can be raised."""
    concrete = {
        kind for kind in tree(WxLoginError) if kind.__module__ == domain.errors.__name__ and hasattr(kind, "code")
    }

    assert concrete == set(OUTCOMES) == {row[0] for row in CONTRACT}


def test_no_two_errors_have_the_same_code() -> None:
    """Two errors never have the same code."""
    assert len({kind.code for kind in OUTCOMES}) == len(OUTCOMES)


def test_an_error_without_a_code_has_subclasses() -> None:
    """An error without a code has subclasses."""
    headings = {kind for kind in tree(WxLoginError) if not hasattr(kind, "code")}

    assert headings
    assert all(kind.__subclasses__() for kind in headings)


@every_kind
def test_a_subclass_in_an_adapter_has_the_outcome_of_its_parent(kind: type[WxLoginError]) -> None:
    """An adapter's subclass of an error has the code and the outcome of the error."""
    own = type("Own", (kind,), {})

    assert outcome_of(own()) == OUTCOMES[kind]
    assert Problem.of(own()).code == kind.code


@every_kind
def test_a_problem_follows_rfc_9457(kind: type[WxLoginError]) -> None:
    """A problem has all required members, and its `type` is a URN of the code.

    Fields of WeChat without values are absent.
    """
    problem = msgspec.json.decode(msgspec.json.encode(Problem.of(kind("what happened"))))
    client_detail = CLIENT_DETAILS.get(kind, "what happened").format(provider="The identity provider")

    assert problem == {
        "type": f"urn:wxlogin:error:{kind.code}",
        "title": kind.title,
        "status": OUTCOMES[kind].http,
        "detail": client_detail,
        "code": kind.code,
        "retry": kind.retry,
    }


def test_details_for_operators_are_not_sent_to_clients() -> None:
    """For an error of the server a client gets one general sentence, with the name of the adapter's platform."""
    assert set(CLIENT_DETAILS) == {kind for kind, outcome in OUTCOMES.items() if outcome.http >= 500}
    for kind, sentence in CLIENT_DETAILS.items():
        own = type("Own", (kind,), {"provider": "Douyin"})
        assert Problem.of(own("set WXLOGIN_APP_SECRET")).detail == sentence.format(provider="Douyin")
    assert Problem.of(AppMisconfigured()).detail == "The service is misconfigured; its operator has been informed"


@pytest.mark.parametrize("kind", CLIENT_DETAILS)
def test_the_command_line_has_the_details_for_operators(kind: type[WxLoginError]) -> None:
    """On the command line an error has its own text, with WeChat's errcode."""
    assert explained(kind("set WXLOGIN_APP_SECRET", errcode=40125)) == "set WXLOGIN_APP_SECRET (errcode 40125)"


def test_a_problem_without_a_detail_has_its_title_as_detail() -> None:
    """Without a detail, the `detail` of a problem is its title."""
    assert Problem.of(CodeUsed()).detail == CodeUsed.title


def test_a_problem_has_wechats_errcode_and_rid() -> None:
    """A problem has WeChat's errcode and rid."""
    problem = Problem.of(CodeUsed(errcode=40163, rid="6374a1b2-0c3d4e5f-12ab34cd"))

    assert (problem.errcode, problem.rid) == (40163, "6374a1b2-0c3d4e5f-12ab34cd")


@pytest.mark.parametrize("kind", [IdentityProviderUnavailable, IdentityProviderBadResponse, StoreUnavailable])
def test_a_problem_has_the_retry_of_its_error(kind: type[WxLoginError]) -> None:
    """When an error has the retry advice `new_code`, the problem has it too, without Retry-After."""
    error = kind().asking_for_new_code()

    assert Problem.of(error).retry == "new_code"
    assert "retry-after" not in headers_of(error)
    assert Problem.of(kind()).retry == "later"
