"""The log, written by a separate process, because logging is configured once for each process."""

import json
import subprocess
import sys
from typing import Any

SCRIPT = """
import logging
from entrypoints.log import configure_logging, log, log_error
from entrypoints.settings import Settings
from domain.errors import *

configure_logging(Settings(log_level={level!r}, log_format={format!r}))
{work}
"""


def logged(work: str, level: str = "info", log_format: str = "json") -> str:
    """Return the stderr of `work`, which must write nothing to stdout."""
    script = SCRIPT.format(level=level, format=log_format, work=work)
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout == ""
    return ran.stderr


def events(work: str, level: str = "info") -> list[dict[str, Any]]:
    """Return the events that `work` logs."""
    return [json.loads(line) for line in logged(work, level).splitlines()]


def test_an_event_is_one_line_of_json() -> None:
    """An event with any text is one line of JSON, with its level and its time in UTC. Chinese text is readable."""
    text = logged(r"log.info('login', name='微信', agent='a\nb\x1b[31m\u2028{\"event\":\"forged\"}')")

    (line,) = text.removesuffix("\n").split("\n")
    assert "微信" in line
    assert "\x1b" not in line
    event = json.loads(line)
    assert (event["event"], event["level"]) == ("login", "info")
    assert event["timestamp"].endswith("Z")


def test_warnings_of_libraries_are_logged_as_events() -> None:
    """A warning of a library is logged as an event. Its messages of lower levels are not logged."""
    work = "logging.getLogger('sqlalchemy').warning('lost %s', 'it')\nlogging.getLogger('httpx2').info('GET secret')"
    (event,) = events(work, level="debug")

    assert (event["event"], event["level"]) == ("lost it", "warning")


def test_the_level_of_an_error_depends_on_who_can_fix_it() -> None:
    """Errors that only an operator can fix have the level error. Errors of clients have the level info."""
    loud = [
        "AppMisconfigured()",
        "StoreUnavailable()",
        "IdentityProviderUnavailable()",
        "IdentityProviderBadResponse()",
    ]
    quiet = ["CodeInvalid()", "CodeUsed()", "RateLimited()", "UserBlockedByProvider()", "RequestInvalid()"]
    told = events("\n".join(f"log_error({error}, '/login/')" for error in [*loud, *quiet]))

    assert [event["level"] for event in told] == ["error"] * len(loud) + ["info"] * len(quiet)
    assert {event["where"] for event in told} == {"/login/"}


def test_expected_errors_are_not_logged() -> None:
    """Missing and expired tokens, and unknown paths, are not logged."""
    everyday = ["TokenMissing()", "TokenInvalid()", "SessionExpired()", "SessionEnded()", "NotFound()"]
    work = "\n".join(f"log_error({error}, '/auth')" for error in everyday)
    (event,) = events(f"{work}\nlog.info('the end')")

    assert event["event"] == "the end"


def test_an_error_is_logged_with_its_details() -> None:
    """An error is logged with its code, its detail, WeChat's errcode and rid, and its shortened cause."""
    work = (
        "try: raise CodeUsed('again', errcode=40163, rid='r1') from ValueError('c' * 500)\n"
        "except CodeUsed as error: log_error(error, '/login/')\n"
        "log_error(CodeUsed(), '/login/')"
    )
    full, bare = events(work)

    assert (full["event"], full["detail"], full["errcode"], full["rid"]) == ("code_used", "again", 40163, "r1")
    assert full["cause"] == "c" * 200
    assert not {"errcode", "rid", "cause"} & set(bare)


def test_a_field_without_a_value_is_not_logged() -> None:
    """A field without a value is not logged, also in the lines of libraries."""
    (event,) = events("log.info('login', ip=None, is_new=False)")

    assert set(event) == {"event", "level", "timestamp", "is_new"}


def test_context_variables_are_in_each_line() -> None:
    """A context variable of structlog is in every line, also in those of libraries."""
    work = (
        "import structlog\n"
        "structlog.contextvars.bind_contextvars(request_id='r7')\n"
        "log.info('login')\n"
        "logging.getLogger('sqlalchemy').warning('lost it')"
    )

    assert [event["request_id"] for event in events(work)] == ["r7", "r7"]


def test_a_failed_login_is_logged_with_its_error() -> None:
    """A failed login is an event with the level of its error, and with the user and the address if they are known."""
    work = (
        "from entrypoints.log import log_failed_login\n"
        "log_failed_login(UserBlocked(user_id='u1'), '/login', '192.0.2.1')\n"
        "log_failed_login(AppMisconfigured('set it', errcode=40125), '/login')"
    )
    blocked, misconfigured = events(work)

    assert (blocked["event"], blocked["level"], blocked["code"]) == ("login_failed", "info", "user_blocked")
    assert (blocked["user_id"], blocked["ip"]) == ("u1", "192.0.2.1")
    assert (misconfigured["event"], misconfigured["level"]) == ("login_failed", "error")
    assert (misconfigured["detail"], misconfigured["errcode"]) == ("set it", 40125)


def test_a_limit_is_logged_with_its_name() -> None:
    """A limit of the service is logged as limit_met. A quota of WeChat is logged as rate_limited."""
    work = (
        "from datetime import timedelta\n"
        "from domain.rate_limit import RateLimit\n"
        "from entrypoints.log import log_failed_login\n"
        "met = RateLimit('login', 1, timedelta(minutes=1)).take(timedelta(minutes=1))\n"
        "log_failed_login(RateLimited(allowance=met), '/login')\n"
        "log_error(RateLimited(errcode=45011), '/v1/me/phone')"
    )
    ours, wechats = events(work)

    assert (ours["event"], ours["limit"]) == ("limit_met", "login")
    assert "code" not in ours
    assert (wechats["event"], wechats["errcode"]) == ("rate_limited", 45011)


def test_the_console_format_is_text() -> None:
    """With the log_format `console` an event is text."""
    text = logged("log.info('login')", log_format="console")

    assert "login" in text
    assert not text.startswith("{")
