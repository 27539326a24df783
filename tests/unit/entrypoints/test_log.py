"""What is logged: by a process of its own, since logging is a process's."""

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
    """What `work` writes to stderr; it may write nothing else."""
    script = SCRIPT.format(level=level, format=log_format, work=work)
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout == ""
    return ran.stderr


def events(work: str, level: str = "info") -> list[dict[str, Any]]:
    """The events that `work` logs."""
    return [json.loads(line) for line in logged(work, level).splitlines()]


def test_an_event_is_one_line_of_json() -> None:
    """Whatever text it has, an event is one line, with level and time in UTC, and Chinese is readable."""
    text = logged(r"log.info('login', name='微信', agent='a\nb\x1b[31m\u2028{\"event\":\"forged\"}')")

    (line,) = text.removesuffix("\n").split("\n")
    assert "微信" in line
    assert "\x1b" not in line
    event = json.loads(line)
    assert (event["event"], event["level"]) == ("login", "info")
    assert event["timestamp"].endswith("Z")


def test_warnings_of_libraries_are_logged_as_events() -> None:
    """A library's warning is an event like ours, and its chatter is not logged."""
    work = "logging.getLogger('sqlalchemy').warning('lost %s', 'it')\nlogging.getLogger('httpx2').info('GET secret')"
    (event,) = events(work, level="debug")

    assert (event["event"], event["level"]) == ("lost it", "warning")


def test_an_error_is_as_loud_as_it_matters() -> None:
    """The operator is told loudly of what only they can mend, and quietly of what clients do."""
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
    """Tokens that are missing or over, and paths that are not there, fill no log."""
    everyday = ["TokenMissing()", "TokenInvalid()", "SessionExpired()", "SessionEnded()", "NotFound()"]
    work = "\n".join(f"log_error({error}, '/auth')" for error in everyday)
    (event,) = events(f"{work}\nlog.info('the end')")

    assert event["event"] == "the end"


def test_an_error_is_logged_with_what_is_known_of_it() -> None:
    """Code, detail, WeChat's errcode and rid and the cause are there, cut where the cause is long."""
    work = (
        "try: raise CodeUsed('again', errcode=40163, rid='r1') from ValueError('c' * 500)\n"
        "except CodeUsed as error: log_error(error, '/login/')\n"
        "log_error(CodeUsed(), '/login/')"
    )
    full, bare = events(work)

    assert (full["event"], full["detail"], full["errcode"], full["rid"]) == ("code_used", "again", 40163, "r1")
    assert full["cause"] == "c" * 200
    assert not {"errcode", "rid", "cause"} & set(bare)


def test_a_field_that_is_not_known_is_absent() -> None:
    """What has no value has no field, in the lines of libraries too."""
    (event,) = events("log.info('login', ip=None, is_new=False)")

    assert set(event) == {"event", "level", "timestamp", "is_new"}


def test_context_variables_are_in_each_line() -> None:
    """A value in structlog's context variables stands in every line, ours and a library's."""
    work = (
        "import structlog\n"
        "structlog.contextvars.bind_contextvars(request_id='r7')\n"
        "log.info('login')\n"
        "logging.getLogger('sqlalchemy').warning('lost it')"
    )

    assert [event["request_id"] for event in events(work)] == ["r7", "r7"]


def test_a_failed_login_says_which_error_it_was() -> None:
    """It is an event of its own, as loud as its error, with whose login it was."""
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


def test_a_limit_that_is_met_says_which() -> None:
    """A limit of our own is an event of its own, whatever it refused; a quota of WeChat's is not."""
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


def test_the_console_is_for_people() -> None:
    """With log_format `console` an event is text."""
    text = logged("log.info('login')", log_format="console")

    assert "login" in text
    assert not text.startswith("{")
