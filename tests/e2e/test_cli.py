"""`wxlogin`, command by command: results on stdout, all else on stderr, and an exit status that means something."""

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
    "healthcheck",
    "migrate",
    "login",
    "sessions",
    "users",
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
    "users show",
    "users block",
    "users unblock",
    "users conflicts",
    "users merge",
]
NOWHERE = "postgresql+asyncpg://wxlogin:pa55word@127.0.0.1:1/wxlogin"


@pytest.fixture(scope="module")
def logins(env: Environment, sandbox: Sandbox) -> list[dict[str, Any]]:
    """Two logins of one user."""
    return [result(run("login", sandbox.code(openid="o-of-the-shell"), env=env)) for _ in range(2)]


def result(done: Done) -> Any:
    """What a command that succeeded gave: JSON on stdout, and on stderr nothing but lines of the log."""
    assert done.returncode == 0
    assert {json.loads(line)["level"] for line in done.stderr.splitlines()} <= {"info"}
    return json.loads(done.stdout)


def refused(done: Done) -> tuple[int, str]:
    """How a command failed: its status and message. Nothing is on stdout, and nothing is a traceback."""
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


def test_the_version_is_told() -> None:
    """--version names the version that is installed."""
    done = run("--version", env=clean_environment())

    assert (done.returncode, done.stderr) == (0, "")
    assert metadata.version("wxlogin") in done.stdout


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_lists_every_command(flag: str) -> None:
    """--help names the commands, in the order of the documentation."""
    done = run(flag, env=clean_environment())
    listed = re.findall(r"^│ ([a-z]+) ", done.stdout, re.MULTILINE)

    assert (done.returncode, done.stderr) == (0, "")
    assert listed == COMMANDS


@pytest.mark.parametrize("command", [*COMMANDS, *SUBCOMMANDS])
def test_every_command_explains_itself(command: str) -> None:
    """--help of every command is a usage line and more, and needs no settings."""
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
    ],
    ids=" ".join,
)
def test_wrong_usage_is_status_2(arguments: list[str]) -> None:
    """What cannot be meant is status 2, and is explained on stderr."""
    status, message = refused(run(*arguments, env=clean_environment()))

    assert status == 2
    assert "Usage: wxlogin" in message


def test_a_key_is_new_each_time_and_fits() -> None:
    """`keygen` prints one key that the cipher takes, another one each time."""
    keys = [run("keygen", env=clean_environment()).stdout for _ in range(2)]

    assert keys[0] != keys[1]
    assert all(key.count("\n") == 1 and Fernet(key.strip()) for key in keys)


def test_migrating_twice_is_harmless(env: Environment) -> None:
    """`migrate` on a database that is migrated succeeds, with nothing on stdout."""
    done = run("migrate", env=env)

    assert (done.returncode, done.stdout) == (0, "")


def test_migrating_three_times_at_once_is_harmless(empty: Environment) -> None:
    """Three hosts may migrate at the same moment, and the database is ready then."""
    with ThreadPoolExecutor(3) as hosts:
        done = list(hosts.map(lambda _: run("migrate", env=empty), range(3)))
    doctor = run("doctor", env=empty)

    assert [one.returncode for one in done] == [0, 0, 0], [one.stderr for one in done]
    assert doctor.returncode == 0, doctor.stdout


def test_a_login_prints_what_http_answers(logins: list[dict[str, Any]]) -> None:
    """`login` prints the answer of POST /v1/sessions, of a session without a device."""
    first, second = logins

    assert set(first) == {"token", "token_type", "session", "user"}
    assert (first["user"]["is_new"], second["user"]["is_new"]) == (True, False)
    assert first["user"]["id"] == second["user"]["id"]
    assert (first["session"]["ip"], first["session"]["user_agent"]) == (None, None)


def test_a_login_takes_the_app_by_name(env: Environment, sandbox: Sandbox) -> None:
    """`login --appid` logs in to that app."""
    assert result(run("login", sandbox.code(), "--appid", APPID, env=env))["user"]["is_new"]


def test_a_users_sessions_are_listed(env: Environment, logins: list[dict[str, Any]]) -> None:
    """`sessions list` prints the live sessions, newest first, none of them current."""
    listed = result(run("sessions", "list", logins[0]["user"]["id"], env=env))["sessions"]

    assert [session["id"] for session in listed] == [login["session"]["id"] for login in reversed(logins)]
    assert {session["current"] for session in listed} == {False}


def test_a_user_is_shown(env: Environment, logins: list[dict[str, Any]]) -> None:
    """`users show` prints profile, WeChat accounts and open sessions."""
    shown = result(run("users", "show", logins[0]["user"]["id"], env=env))

    assert set(shown) == {"user", "sessions"}
    assert shown["user"]["accounts"] == [{"appid": APPID, "openid": "o-of-the-shell"}]
    assert len(shown["sessions"]) == 2


def test_one_session_is_ended(env: Environment, sandbox: Sandbox) -> None:
    """`sessions end` ends that session, once: the second time there is none."""
    login = result(run("login", sandbox.code(), env=env))
    first, second = (run("sessions", "end", login["session"]["id"], env=env) for _ in range(2))

    assert result(first) == {"ended": 1}
    assert refused(second) == (3, "wxlogin: not_found: There is no such session\n")


def test_all_sessions_are_ended(env: Environment, sandbox: Sandbox) -> None:
    """`sessions end-all` ends every session of the user and says how many."""
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
    ],
    ids=str,
)
def test_a_refusal_has_its_status(env: Environment, arguments: list[str], status: int, code: str) -> None:
    """What is refused ends with the status of the table, and names its code in one line."""
    exit_status, message = refused(run(*arguments, env=env))

    assert exit_status == status
    assert message.startswith(f"wxlogin: {code}: ")
    assert message.count("\n") == 1


def test_a_used_code_is_refused(env: Environment, sandbox: Sandbox) -> None:
    """A code works once in the shell too, and WeChat's errcode and rid are told."""
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
    """Whatever goes wrong at WeChat ends a login with the status of the table."""
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
def test_an_argument_that_is_no_text_is_no_defect(env: Environment, arguments: list[str]) -> None:
    """Bytes that are not UTF-8 name nothing here: the command says so, and shows no traceback."""
    done = run(*arguments, env=env)

    assert done.returncode in (0, 2, 3)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("command", "variables", "missing", "mend"),
    [
        ("serve", {"WXLOGIN_APPID": "", "WXLOGIN_APP_SECRET": ""}, "WXLOGIN_APPID", "WXLOGIN_APPID=wx"),
        ("serve", {"WXLOGIN_APP_SECRET": ""}, "WXLOGIN_APP_SECRET", "WXLOGIN_APP_SECRET="),
        ("serve", {"WXLOGIN_ENCRYPTION_KEYS": ""}, "WXLOGIN_ENCRYPTION_KEYS", "wxlogin keygen"),
        ("serve", {"WXLOGIN_NO_SUCH_SETTING": "x"}, "WXLOGIN_NO_SUCH_SETTING", "WXLOGIN_APPID"),
        ("worker", {"WXLOGIN_REDIS_URL": ""}, "WXLOGIN_REDIS_URL", "redis://"),
    ],
)
def test_a_wrong_setting_is_named(
    env: Environment, command: str, variables: Environment, missing: str, mend: str
) -> None:
    """A setting that is missing, unknown or malformed ends a command with 5, its name and what mends it."""
    status, message = refused(run(command, env={**env, **variables}))

    assert status == 5
    assert missing in message
    assert mend in message


@pytest.mark.parametrize("arguments", [["serve"], ["login", "x"]], ids=" ".join)
def test_a_database_that_is_not_migrated_is_told(empty: Environment, arguments: list[str]) -> None:
    """Nothing starts on a database that is not migrated, and the command that mends it is named."""
    status, message = refused(run(*arguments, env=empty))

    assert status == 5
    assert "WXLOGIN_DATABASE_URL" in message
    assert "wxlogin migrate" in message


@pytest.mark.parametrize("arguments", [["serve"], ["migrate"], ["login", "x"]], ids=" ".join)
def test_a_database_that_is_down_is_status_4(env: Environment, arguments: list[str]) -> None:
    """Without its database every command says so, without the password, and that later may help."""
    status, message = refused(run(*arguments, env={**env, "WXLOGIN_DATABASE_URL": NOWHERE}))

    assert status == 4
    assert message.startswith("wxlogin: store_unavailable: ")
    assert "pa55word" not in message


@pytest.fixture(scope="module")
def taken(directory: Path) -> Iterator[str]:
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield str(listener.getsockname()[1])


@pytest.mark.parametrize("command", ["serve", "sandbox"])
def test_a_port_in_use_is_told(env: Environment, taken: str, command: str) -> None:
    """A port that is taken is status 5, and the message names it and the way out."""
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
    """`explain` tells meaning, cause, mend, and what a login that fails so says of a retry; of negative codes too."""
    done = run("explain", number, env=clean_environment())
    lines = dict(line.split(None, 1) for line in done.stdout.splitlines())

    assert (done.returncode, done.stderr) == (0, "")
    assert list(lines) == ["errcode", "meaning", "cause", "mend", "retry", "code"]
    assert (lines["errcode"], lines["code"]) == (number, code)
    assert retry in lines["retry"]


def test_an_error_code_that_nobody_knows_is_refused() -> None:
    """`explain` of an unknown code is status 3, and names the known ones."""
    status, message = refused(run("explain", "12345", env=clean_environment()))

    assert status == 3
    assert "12345" in message
    assert "40029" in message
