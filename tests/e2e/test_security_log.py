"""The log of a real service has each security event once, with the fields in docs/operations.md."""

import ast
import re

import pytest

from entrypoints.problems import OUTCOMES
from support.happenings import EVERYTHING, Line, Logged, let_it_happen
from support.pages import ROOT, section, table
from support.servers import sqlite_url

PAGE = section((ROOT / "docs/operations.md").read_text(encoding="utf-8"), "Log")
NAMED_BY_VARIABLES = {
    *("login_failed", "limit_met", "store_unavailable", "phone_failed"),
    *("webhook_given_up", "webhook_postponed", "webhook_gone"),
}
"""The events whose names are no text in the call that logs them."""

COMMON = {"timestamp", "level", "event", "request_id"}


@pytest.fixture(scope="module")
def log(own_redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Logged]:
    """All events, each with its log lines and the expected lines."""
    return let_it_happen(own_redis_url, sqlite_url(tmp_path_factory.mktemp("log")))


def is_due(line: Line, due: Line) -> bool:
    """Return whether the line has all expected values."""
    return all(
        re.match(f"{value}", line[name]) if name in ("rid", "detail", "cause") else line.get(name) == value
        for name, value in due.items()
    )


@pytest.mark.parametrize("name", EVERYTHING)
def test_each_event_is_logged_once(log: dict[str, Logged], name: str) -> None:
    """Each event is one log line with the expected fields, and no other line is logged for it."""
    lines, due = log[name].lines, log[name].due

    assert [line["event"] for line in lines] == [line["event"] for line in due]
    assert [line for line, expected in zip(lines, due, strict=True) if not is_due(line, expected)] == []


@pytest.mark.parametrize("name", EVERYTHING)
def test_unknown_fields_are_not_logged(log: dict[str, Logged], name: str) -> None:
    """No log line has an empty field, or a user, session or address that is not known."""
    for line, due in zip(log[name].lines, log[name].due, strict=True):
        assert None not in line.values()
        assert {"ip", "appid", "user_id", "session_id", "errcode", "rid"} & set(line) <= set(due)


def test_the_page_has_every_security_event_with_its_fields(log: dict[str, Logged]) -> None:
    """The table has exactly the security events that are logged, with their fields."""
    found: dict[str, set[str]] = {}
    for line in [line for logged in log.values() for line in logged.lines if line["event"] != "store_unavailable"]:
        found.setdefault(line["event"], set()).update(set(line) - COMMON)

    assert {row[0].strip("`"): set(re.findall(r"`(\w+)`", row[1])) for row in table(PAGE, "event | fields")} == found


def test_the_page_has_every_event() -> None:
    """Every event that the code logs is on the page, or is the code of an error."""
    sources = [ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "src/entrypoints").rglob("*.py")]
    calls = [node for tree in sources for node in ast.walk(tree) if isinstance(node, ast.Call)]
    logging = [call for call in calls if re.fullmatch(r"log\.\w+|log_session", ast.unparse(call.func))]
    named = {call.args[0].value for call in logging if call.args and isinstance(call.args[0], ast.Constant)}
    events = {row[0].strip("`") for first in ("event | fields", "event | when") for row in table(PAGE, first)}

    assert named - {kind.code for kind in OUTCOMES} <= events
    assert events - named <= NAMED_BY_VARIABLES
