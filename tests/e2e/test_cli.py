"""The commands of `wxlogin`: results on stdout, other output on stderr, and a defined exit status."""

import hashlib
import json
import re
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from support.processes import APPID, Environment, Sandbox, clean_environment, run

Done = subprocess.CompletedProcess[str]

COMMANDS = [
    "demo",
    "serve",
    "admin",
    "healthcheck",
    "migrate",
    "login",
    "sessions",
    "users",
    "audit",
    "worker",
    "sandbox",
    "keygen",
    "reencrypt",
    "doctor",
    "explain",
]
SUBCOMMANDS = [
    "sessions list",
    "sessions end",
    "sessions end-all",
    "users find",
    "users show",
    "users block",
    "users unblock",
    "users conflicts",
    "users merge",
    "audit list",
]
NOWHERE = "postgresql+asyncpg://wxlogin:pa55word@127.0.0.1:1/wxlogin"


@pytest.fixture(scope="module")
def logins(env: Environment, sandbox: Sandbox) -> list[dict[str, Any]]:
    """Two logins of one user."""
    return [result(run("login", sandbox.code(openid="o-of-the-shell"), env=env)) for _ in range(2)]


def result(done: Done) -> Any:
    """Return the JSON on stdout of a successful command. Its stderr may contain only log lines."""
    assert done.returncode == 0
    assert {json.loads(line)["level"] for line in done.stderr.splitlines()} <= {"info"}
    return json.loads(done.stdout)


def refused(done: Done) -> tuple[int, str]:
    """Return the status and the message of a failed command. It must print nothing on stdout, and no traceback."""
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


def test_the_version_is_printed() -> None:
    """--version prints the installed version."""
    done = run("--version", env=clean_environment())

    assert (done.returncode, done.stderr) == (0, "")
    assert metadata.version("wxlogin") in done.stdout


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_lists_every_command(flag: str) -> None:
    """--help lists the commands in the order of the documentation."""
    done = run(flag, env=clean_environment())
    listed = re.findall(r"^│ ([a-z]+) ", done.stdout, re.MULTILINE)

    assert (done.returncode, done.stderr) == (0, "")
    assert listed == COMMANDS


@pytest.mark.parametrize("command", [*COMMANDS, *SUBCOMMANDS])
def test_every_command_has_a_help_text(command: str) -> None:
    """--help of every command prints its usage and a description, and needs no settings."""
    done = run(*command.split(), "--help", env={**clean_environment(), "WXLOGIN_NO_SUCH_SETTING": "x"})

    assert (done.returncode, done.stderr) == (0, "")
    assert f"Usage: wxlogin {command}" in done.stdout
    assert len(done.stdout.splitlines()) > 5


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["no-such-command"],
        ["sessions"],
        ["users", "no-such-command"],
        ["login"],
        ["login", "a", "b"],
        ["explain", "many"],
        ["serve", "--port", "65536"],
        ["serve", "--workers", "0"],
        ["sandbox", "--app", "no-secret"],
        ["keygen", "--no-such-option"],
        ["keygen", "--scope", "read"],
        ["keygen", "--signing", "--admin", "ann"],
        ["keygen", "--admin", "an admin"],
        ["keygen", "--admin", "ann", "--scope", "all"],
        ["users", "find"],
        ["admin", "--port", "65536"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_status_2(arguments: list[str]) -> None:
    """Wrong usage ends with status 2 and an explanation on stderr."""
    status, message = refused(run(*arguments, env=clean_environment()))

    assert status == 2
    assert "Usage: wxlogin" in message


def test_keygen_prints_a_new_valid_key() -> None:
    """`keygen` prints one key that the cipher accepts, and a different one each time."""
    keys = [run("keygen", env=clean_environment()).stdout for _ in range(2)]

    assert keys[0] != keys[1]
    assert all(key.count("\n") == 1 and Fernet(key.strip()) for key in keys)


def test_keygen_prints_an_admin_key_and_its_entry() -> None:
    """`keygen --admin` prints a new key and the entry with its SHA-256 and scopes: `read` unless others are given."""
    done = [run("keygen", "--admin", "ann", *more, env=clean_environment()) for more in ([], ["--scope", "write"])]
    keys, entries = zip(*(each.stdout.splitlines() for each in done), strict=True)

    assert len(set(keys)) == 2
    assert [json.loads(entry) for entry in entries] == [
        {"ann": {"sha256": hashlib.sha256(key.encode()).hexdigest(), "scopes": [scope]}}
        for key, scope in zip(keys, ["read", "write"], strict=True)
    ]
    assert all(re.fullmatch(r"wxadmin_[A-Za-z0-9_-]{43}", key) for key in keys)


def test_the_admin_api_needs_keys(env: Environment) -> None:
    """`admin` without WXLOGIN_ADMIN_KEYS ends with status 5 and names the setting."""
    status, message = refused(run("admin", "--port", "0", env=env))

    assert status == 5
    assert "WXLOGIN_ADMIN_KEYS is missing" in message


def test_users_are_found(env: Environment, logins: list[dict[str, Any]]) -> None:
    """`users find` prints the users that match, as the admin API does."""
    found = result(run("users", "find", "--openid", "o-of-the-shell", env=env))["users"]

    assert [user["id"] for user in found] == [logins[0]["user"]["id"]]
    assert found[0]["blocked_at"] is None


def test_a_repeated_migrate_succeeds(env: Environment) -> None:
    """`migrate` on a migrated database succeeds, and prints nothing on stdout."""
    done = run("migrate", env=env)

    assert (done.returncode, done.stdout) == (0, "")


def test_three_concurrent_migrates_succeed(empty: Environment) -> None:
    """Three concurrent `migrate` commands all succeed, and the database is migrated."""
    with ThreadPoolExecutor(3) as hosts:
        done = list(hosts.map(lambda _: run("migrate", env=empty), range(3)))
    doctor = run("doctor", env=empty)

    assert [one.returncode for one in done] == [0, 0, 0], [one.stderr for one in done]
    assert doctor.returncode == 0, doctor.stdout


def test_a_login_prints_what_http_answers(logins: list[dict[str, Any]]) -> None:
    """`login` prints the answer of POST /v1/sessions, for a session without a device."""
    first, second = logins

    assert set(first) == {"token", "token_type", "session", "user"}
    assert (first["user"]["is_new"], second["user"]["is_new"]) == (True, False)
    assert first["user"]["id"] == second["user"]["id"]
    assert (first["session"]["ip"], first["session"]["user_agent"]) == (None, None)


def test_a_login_accepts_the_appid(env: Environment, sandbox: Sandbox) -> None:
    """`login --appid` logs in to that app."""
    assert result(run("login", sandbox.code(), "--appid", APPID, env=env))["user"]["is_new"]


def test_a_users_sessions_are_listed(env: Environment, logins: list[dict[str, Any]]) -> None:
    """`sessions list` prints the live sessions, newest first, none of them current."""
    listed = result(run("sessions", "list", logins[0]["user"]["id"], env=env))["sessions"]

    assert [session["id"] for session in listed] == [login["session"]["id"] for login in reversed(logins)]
    assert {session["current"] for session in listed} == {False}


def test_a_user_is_shown(env: Environment, logins: list[dict[str, Any]]) -> None:
    """`users show` prints the profile, the accounts and the open sessions."""
    shown = result(run("users", "show", logins[0]["user"]["id"], env=env))

    assert set(shown) == {"user", "sessions"}
    assert shown["user"]["accounts"] == [{"appid": APPID, "openid": "o-of-the-shell"}]
    assert len(shown["sessions"]) == 2


def test_one_session_is_ended(env: Environment, sandbox: Sandbox) -> None:
    """`sessions end` ends one session. The second call for it fails."""
    login = result(run("login", sandbox.code(), env=env))
    first, second = (run("sessions", "end", login["session"]["id"], env=env) for _ in range(2))

    assert result(first) == {"ended": 1}
    assert refused(second) == (3, "wxlogin: not_found: There is no such session\n")


def test_all_sessions_are_ended(env: Environment, sandbox: Sandbox) -> None:
    """`sessions end-all` ends every session of the user and prints their number."""
    login = result(run("login", sandbox.code(), env=env))
    ended = [result(run("sessions", "end-all", login["user"]["id"], env=env)) for _ in range(2)]

    assert ended == [{"ended": 1}, {"ended": 0}]


@pytest.mark.parametrize(
    ("arguments", "status", "code"),
    [
        (["login", ""], 2, "code_missing"),
        (["login", "x", "--appid", "wx-unknown"], 2, "app_unknown"),
        (["login", "never-issued"], 3, "code_invalid"),
        (["sessions", "end", "no-such"], 3, "not_found"),
        (["users", "show", "no-such"], 3, "not_found"),
        (["users", "find", "--openid", "no-such"], 3, "not_found"),
        (["sessions", "end-all", "no-such"], 3, "not_found"),
    ],
    ids=str,
)
def test_a_refusal_has_its_status(env: Environment, arguments: list[str], status: int, code: str) -> None:
    """A refused command ends with the documented status, and prints the error code in one line."""
    exit_status, message = refused(run(*arguments, env=env))

    assert exit_status == status
    assert message.startswith(f"wxlogin: {code}: ")
    assert message.count("\n") == 1


def test_a_used_code_is_refused(env: Environment, sandbox: Sandbox) -> None:
    """A used code is refused in the shell too, and the message has WeChat's errcode and rid."""
    code = sandbox.code()
    result(run("login", code, env=env))
    status, message = refused(run("login", code, env=env))

    assert status == 3
    assert re.search(r"^wxlogin: code_used: .+ \(errcode 40163, rid [0-9a-f-]{26}\)$", message)


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ({"errcode": -1}, 4, "wechat_unavailable"),
        ({"errcode": 40226}, 3, "user_blocked_by_wechat"),
        ({"errcode": 40164}, 5, "app_misconfigured"),
    ],
    ids=str,
)
def test_a_failure_of_wechat_has_its_status(
    env: Environment, sandbox: Sandbox, fault: dict[str, Any], status: int, code: str
) -> None:
    """A login that fails at WeChat ends with the documented status."""
    sandbox.fail(**fault)
    exit_status, message = refused(run("login", sandbox.code(), env=env))

    assert exit_status == status
    assert message.startswith(f"wxlogin: {code}: ")


@pytest.mark.parametrize(
    "arguments",
    [
        ["login", "\udcff"],
        ["sessions", "list", "\udcff"],
        ["users", "show", "\udcff"],
    ],
    ids=ascii,
)
def test_an_argument_that_is_not_utf_8_causes_no_traceback(env: Environment, arguments: list[str]) -> None:
    """An argument that is not UTF-8 ends without a traceback."""
    done = run(*arguments, env=env)

    assert done.returncode in (0, 2, 3)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("command", "variables", "missing", "hint"),
    [
        ("serve", {"WXLOGIN_APPID": "", "WXLOGIN_APP_SECRET": ""}, "WXLOGIN_APPID", "WXLOGIN_APPID=wx"),
        ("serve", {"WXLOGIN_APP_SECRET": ""}, "WXLOGIN_APP_SECRET", "WXLOGIN_APP_SECRET="),
        ("serve", {"WXLOGIN_ENCRYPTION_KEYS": ""}, "WXLOGIN_ENCRYPTION_KEYS", "wxlogin keygen"),
        ("serve", {"WXLOGIN_NO_SUCH_SETTING": "x"}, "WXLOGIN_NO_SUCH_SETTING", "WXLOGIN_APPID"),
        ("worker", {"WXLOGIN_REDIS_URL": ""}, "WXLOGIN_REDIS_URL", "redis://"),
    ],
)
def test_a_wrong_setting_is_named(
    env: Environment, command: str, variables: Environment, missing: str, hint: str
) -> None:
    """A missing, unknown or malformed setting ends a command with status 5, and the message has its name and a hint."""
    status, message = refused(run(command, env={**env, **variables}))

    assert status == 5
    assert missing in message
    assert hint in message


@pytest.mark.parametrize("arguments", [["serve"], ["login", "x"]], ids=" ".join)
def test_a_database_that_is_not_migrated_is_reported(empty: Environment, arguments: list[str]) -> None:
    """A command on a database that is not migrated ends with status 5, and the message names `wxlogin migrate`."""
    status, message = refused(run(*arguments, env=empty))

    assert status == 5
    assert "WXLOGIN_DATABASE_URL" in message
    assert "wxlogin migrate" in message


@pytest.mark.parametrize("arguments", [["serve"], ["migrate"], ["login", "x"]], ids=" ".join)
def test_a_database_that_is_down_is_status_4(env: Environment, arguments: list[str]) -> None:
    """A command without its database ends with status 4 and store_unavailable.

    The message does not show the password.
    """
    status, message = refused(run(*arguments, env={**env, "WXLOGIN_DATABASE_URL": NOWHERE}))

    assert status == 4
    assert message.startswith("wxlogin: store_unavailable: ")
    assert "pa55word" not in message


@pytest.fixture(scope="module")
def taken(directory: Path) -> Iterator[str]:
    """A port on which another process listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield str(listener.getsockname()[1])


@pytest.mark.parametrize("command", ["serve", "sandbox"])
def test_a_port_in_use_is_reported(env: Environment, taken: str, command: str) -> None:
    """A port in use ends a command with status 5, and the message names the port and the option."""
    status, message = refused(run(command, "--port", taken, env=env))

    assert status == 5
    assert taken in message
    assert "--port" in message


@pytest.mark.parametrize(
    ("number", "code", "retry"),
    [
        ("-1", "wechat_unavailable", "later; a login needs a new code"),
        ("40029", "code_invalid", "with a new code"),
        ("40226", "user_blocked_by_wechat", "does not help"),
    ],
)
def test_an_error_code_is_explained(number: str, code: str, retry: str) -> None:
    """`explain` prints the meaning, the cause, the hint and the retry advice of an errcode, also of a negative one."""
    done = run("explain", number, env=clean_environment())
    lines = dict(line.split(None, 1) for line in done.stdout.splitlines())

    assert (done.returncode, done.stderr) == (0, "")
    assert list(lines) == ["errcode", "meaning", "cause", "mend", "retry", "code"]
    assert (lines["errcode"], lines["code"]) == (number, code)
    assert retry in lines["retry"]


def test_an_unknown_error_code_is_refused() -> None:
    """`explain` of an unknown errcode ends with status 3, and lists the known ones."""
    status, message = refused(run("explain", "12345", env=clean_environment()))

    assert status == 3
    assert "12345" in message
    assert "40029" in message
