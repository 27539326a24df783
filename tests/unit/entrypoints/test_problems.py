"""Our errors, told to the world."""

from collections.abc import Iterator

import msgspec
import pytest

import domain.errors
from domain.errors import (
    AppMisconfigured,
    AppUnknown,
    CodeInvalid,
    CodeMissing,
    CodeUsed,
    DataUndecryptable,
    IdentityProviderBadResponse,
    IdentityProviderUnavailable,
    NotFound,
    RateLimited,
    RequestInvalid,
    Retry,
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
    (NotFound, "not_found", 404, 3, "never"),
    (DataUndecryptable, "data_undecryptable", 400, 3, "new_code"),
    (WatermarkMismatch, "watermark_mismatch", 400, 3, "never"),
]
"""Section 4 of the public interface; where a code may be spent, `retry` is set by whoever knows."""


def tree(root: type[WxLoginError]) -> Iterator[type[WxLoginError]]:
    """All kinds of error below `root`, whoever defines them."""
    for kind in root.__subclasses__():
        yield kind
        yield from tree(kind)


every_kind = pytest.mark.parametrize("kind", OUTCOMES, ids=lambda kind: kind.__name__)


@pytest.mark.parametrize(("kind", "code", "http", "status", "retry"), CONTRACT)
def test_an_error_leaves_as_the_contract_says(
    kind: type[WxLoginError], code: str, http: int, status: int, retry: str
) -> None:
    """Code, HTTP status, exit status and retry of every error are the published ones."""
    assert (kind.code, *OUTCOMES[kind], kind.retry) == (code, http, status, retry)


def test_every_error_of_the_domain_has_a_row() -> None:
    """An error that can be raised is in the table, and the table has no other."""
    concrete = {
        kind for kind in tree(WxLoginError) if kind.__module__ == domain.errors.__name__ and hasattr(kind, "code")
    }

    assert concrete == set(OUTCOMES) == {row[0] for row in CONTRACT}


def test_every_code_is_one_errors() -> None:
    """No two errors share a code."""
    assert len({kind.code for kind in OUTCOMES}) == len(OUTCOMES)


def test_an_error_without_a_code_has_kinds_that_do() -> None:
    """What has no row is a heading in the tree and never raised itself."""
    headings = {kind for kind in tree(WxLoginError) if not hasattr(kind, "code")}

    assert headings
    assert all(kind.__subclasses__() for kind in headings)


@every_kind
def test_a_kind_that_an_adapter_adds_leaves_as_its_parent(kind: type[WxLoginError]) -> None:
    """An adapter may tell its failures apart without a row of its own."""
    own = type("Own", (kind,), {})

    assert outcome_of(own()) == OUTCOMES[kind]
    assert Problem.of(own()).code == kind.code


@every_kind
def test_a_problem_is_the_error_in_rfc_9457(kind: type[WxLoginError]) -> None:
    """All members are there, `type` is a URN of the code, and nothing is told that WeChat did not say."""
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
    """Of every error of the server's own a client reads one general sentence, which names an adapter's platform."""
    assert set(CLIENT_DETAILS) == {kind for kind, outcome in OUTCOMES.items() if outcome.http >= 500}
    for kind, sentence in CLIENT_DETAILS.items():
        own = type("Own", (kind,), {"provider": "Douyin"})
        assert Problem.of(own("set WXLOGIN_APP_SECRET")).detail == sentence.format(provider="Douyin")
    assert Problem.of(AppMisconfigured()).detail == "The service is misconfigured; its operator has been informed"


@pytest.mark.parametrize("kind", CLIENT_DETAILS)
def test_the_shell_says_what_only_an_operator_can_act_on(kind: type[WxLoginError]) -> None:
    """At the terminal stands the error's own text, with what WeChat said."""
    assert explained(kind("set WXLOGIN_APP_SECRET", errcode=40125)) == "set WXLOGIN_APP_SECRET (errcode 40125)"


def test_a_problem_without_a_detail_has_its_title_for_one() -> None:
    """`detail` is never empty."""
    assert Problem.of(CodeUsed()).detail == CodeUsed.title


def test_a_problem_has_what_wechat_said() -> None:
    """errcode and rid are in it, for whoever asks WeChat's support."""
    problem = Problem.of(CodeUsed(errcode=40163, rid="6374a1b2-0c3d4e5f-12ab34cd"))

    assert (problem.errcode, problem.rid) == (40163, "6374a1b2-0c3d4e5f-12ab34cd")


@pytest.mark.parametrize("kind", [IdentityProviderUnavailable, IdentityProviderBadResponse, StoreUnavailable])
def test_a_problem_says_the_retry_that_its_error_was_given(kind: type[WxLoginError]) -> None:
    """Where the code may be spent, the error says so and the problem repeats it, without Retry-After."""
    error = kind()
    error.retry = Retry.NEW_CODE

    assert Problem.of(error).retry == "new_code"
    assert "retry-after" not in headers_of(error)
    assert Problem.of(kind()).retry == "later"
