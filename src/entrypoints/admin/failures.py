"""/admin/v1/errors: the failed logins of the last hour, explained."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import datetime
from typing import Self

import msgspec
from litestar import get
from litestar.di import NamedDependency

from application.administration import Administration
from domain.admin import Scope
from domain.errors import Retry, Unavailable, error_named
from domain.login_failure import LoginFailure
from entrypoints.admin.access import needs
from entrypoints.container import wechat_errcodes
from entrypoints.problems import CODES, DEFECT, OUTCOMES


class Explanation(msgspec.Struct, frozen=True):
    """The explanation of an error, in the words of docs/errors.md: title, HTTP status and retry advice.

    This release does not know the status and the advice of an error of a newer one.
    """

    title: str
    status: int | None
    retry: Retry | None

    @classmethod
    def of(cls, code: str) -> Self:
        """Return the explanation of a code. A login that could not be finished needs a new code."""
        if code not in CODES:
            return cls("An error of a newer release", None, None)
        if code == DEFECT.code:
            return cls(DEFECT.title, DEFECT.status, DEFECT.retry)
        kind = error_named(code)
        retry = Retry.NEW_CODE if issubclass(kind, Unavailable) else kind.retry
        return cls(kind.title, OUTCOMES[kind].http, retry)


class FailedLogins(msgspec.Struct, frozen=True):
    """Failed logins with the same code and errcode.

    `apps` has their numbers by appid; the number of those without a known app is missing there. `last` is the minute of
    the last one. `status` and `retry` are null for a code of a newer release. `meaning`, `cause` and `hint` explain the
    errcode, if there is one that is known.
    """

    code: str
    errcode: int | None
    count: int
    last: datetime
    apps: dict[str, int]
    title: str
    status: int | None
    retry: Retry | None
    meaning: str | None
    cause: str | None
    hint: str | None


class FailureReport(msgspec.Struct, frozen=True):
    """Failed logins since a time, the most frequent first."""

    since: datetime
    failures: list[FailedLogins]


@get("/errors", **needs(Scope.READ))
async def list_failures(administration: NamedDependency[Administration]) -> FailureReport:
    """Return the failed logins of the last hour by code and errcode, with explanations."""
    since, counts = await administration.failed_logins()
    return FailureReport(since, group(counts))


def group(counts: Mapping[LoginFailure, int]) -> list[FailedLogins]:
    """Return the counts by code and errcode, the most frequent first."""
    reasons = defaultdict[tuple[str, int | None], list[LoginFailure]](list)
    for failure in counts:
        reasons[failure.code, failure.errcode].append(failure)
    grouped = [_explained(*reason, {each: counts[each] for each in same}) for reason, same in reasons.items()]
    return sorted(grouped, key=lambda failed: (-failed.count, failed.code, failed.errcode or 0))


def _explained(code: str, errcode: int | None, counts: Mapping[LoginFailure, int]) -> FailedLogins:
    apps = Counter[str]()
    for failure, count in counts.items():
        if failure.app:
            apps[failure.app] += count
    explanation, known = Explanation.of(code), wechat_errcodes().get(errcode or 0)
    return FailedLogins(
        code=code,
        errcode=errcode,
        count=sum(counts.values()),
        last=max(failure.minute for failure in counts),
        apps=dict(sorted(apps.items())),
        title=explanation.title,
        status=explanation.status,
        retry=explanation.retry,
        meaning=known.meaning if known else None,
        cause=known.cause if known else None,
        hint=known.hint if known else None,
    )


HANDLERS = (list_failures,)
