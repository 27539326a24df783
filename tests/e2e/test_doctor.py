"""`wxlogin doctor`: each check, with its hint."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from support.processes import APPID, KEY, SECRET, Environment, Sandbox, run

Done = subprocess.CompletedProcess[str]

NOWHERE = "postgresql+asyncpg://wxlogin:pa55word@127.0.0.1:1/wxlogin"


def checks(done: Done) -> dict[str, str]:
    """Return the result of each check: ok or FAIL."""
    assert done.stderr == ""
    assert "Traceback" not in done.stdout
    found = re.findall(r"^(ok|FAIL) +(settings|schema|database|session store|WeChat) ", done.stdout, re.MULTILINE)
    return {check: verdict for verdict, check in found}


def test_a_correct_installation_passes_every_check(env: Environment, redis_url: str) -> None:
    """A correct installation passes every check with status 0, and the output shows no secret."""
    done = run("doctor", env={**env, "WXLOGIN_REDIS_URL": redis_url})

    assert done.returncode == 0
    assert checks(done) == {"settings": "ok", "schema": "ok", "database": "ok", "session store": "ok"}
    assert APPID in done.stdout
    assert KEY not in done.stdout
    assert SECRET not in done.stdout


def test_the_doctor_warns_of_exposed_secrets(empty: Environment, tmp_path: Path) -> None:
    """Secrets that are sent unencrypted or that any user can read cause a warning with a hint.

    The status does not change.
    """
    config = tmp_path / "wxlogin.toml"
    config.write_text('app_secret = "s"', encoding="utf-8")
    config.chmod(0o604)
    sound = run("doctor", env=empty)
    exposed = run("doctor", env={**empty, "WXLOGIN_WECHAT_URL": "http://192.0.2.1", "WXLOGIN_CONFIG": str(config)})
    warnings = re.findall(r"^warn +(\w+) .*\n  hint: (.*)", exposed.stdout, re.MULTILINE)

    assert "warn" not in sound.stdout
    assert warnings == [
        ("WeChat", "WXLOGIN_WECHAT_URL with https:// in place of http://"),
        ("secrets", f"chmod o-r {config}"),
    ]
    assert (checks(exposed), exposed.returncode) == (checks(sound), sound.returncode)


@pytest.mark.parametrize(
    ("variables", "status", "verdicts", "hint"),
    [
        (
            {"WXLOGIN_APPID": "", "WXLOGIN_APP_SECRET": ""},
            5,
            {"settings": "FAIL"},
            "WXLOGIN_APPID=wx",
        ),
        (
            {"WXLOGIN_DATABASE_URL": NOWHERE},
            4,
            {"settings": "ok", "schema": "FAIL", "database": "FAIL"},
            "WXLOGIN_DATABASE_URL",
        ),
        (
            {"WXLOGIN_REDIS_URL": "redis://127.0.0.1:1/0"},
            4,
            {"settings": "ok", "schema": "ok", "database": "ok", "session store": "FAIL"},
            "WXLOGIN_REDIS_URL",
        ),
    ],
    ids=["no app", "no database", "no Redis"],
)
def test_the_doctor_finds_each_error(
    env: Environment, variables: Environment, status: int, verdicts: dict[str, str], hint: str
) -> None:
    """Each error fails its own check, with a hint, and determines the exit status."""
    done = run("doctor", env={**env, **variables})

    assert checks(done) == verdicts
    assert done.returncode == status
    assert hint in done.stdout
    assert "pa55word" not in done.stdout


def test_the_doctor_finds_a_database_that_is_not_migrated(empty: Environment) -> None:
    """A database without tables fails the schema check with the command for it, and not the database check."""
    done = run("doctor", env=empty)

    assert checks(done)["schema"] == "FAIL"
    assert checks(done).get("database") != "FAIL"
    assert done.returncode == 5
    assert "wxlogin migrate" in done.stdout


def test_the_doctor_proves_the_credentials(env: Environment) -> None:
    """With --wechat, an access token from WeChat proves each app's credentials. No secret is printed."""
    done = run("doctor", "--wechat", env=env)

    assert done.returncode == 0
    assert checks(done)["WeChat"] == "ok"
    assert SECRET not in done.stdout


def test_the_doctor_calls_wechat_only_with_the_option(env: Environment, sandbox: Sandbox) -> None:
    """Without --wechat the doctor does not call WeChat."""
    before = sandbox.call_count()

    assert "WeChat" not in checks(run("doctor", env=env))
    assert sandbox.call_count() == before


@pytest.mark.parametrize(
    ("fault", "status", "told"),
    [
        ({"errcode": 40125}, 5, "Set WXLOGIN_APP_SECRET"),
        ({"errcode": 40164}, 5, "203.0.113.7"),
        ({"errcode": 40243}, 5, "Unfreeze"),
        ({"errcode": 45009}, 4, "quota"),
        ({"drop": True}, 4, "cannot be reached"),
    ],
    ids=str,
)
def test_the_doctor_reports_a_refusal_of_wechat(
    env: Environment, sandbox: Sandbox, fault: dict[str, Any], status: int, told: str
) -> None:
    """A refusal of WeChat fails the check, with the errcode, the rid and a hint."""
    sandbox.fail(path="/cgi-bin/stable_token", **fault)
    done = run("doctor", "--wechat", env=env)

    assert (done.returncode, checks(done)["WeChat"]) == (status, "FAIL")
    assert told in done.stdout
    assert "errcode" not in fault or f"errcode {fault['errcode']}, rid " in done.stdout
