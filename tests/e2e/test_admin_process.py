"""The process of the admin API: it starts, reloads its keys, and stops as the service does."""

import json
import signal
from pathlib import Path

import pytest

from domain.admin import digest_of
from support.admin import ADMIN_KEYS, admin_api
from support.processes import clean_environment, environment, run
from support.servers import sqlite_url, wait_until

OLD, NEW = "wxadmin_key-of-ann", "wxadmin_key-of-bob"


def entry_of(**keys: str) -> str:
    """Return the value of WXLOGIN_ADMIN_KEYS for these keys, by their names."""
    return json.dumps({name: {"sha256": digest_of(key), "scopes": ["read"]} for name, key in keys.items()})


def test_a_key_is_replaced_without_a_restart(tmp_path: Path) -> None:
    """After SIGHUP, a new key is accepted and a removed one is not, on the same port. Wrong keys change nothing."""
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    file = secrets / "admin_keys"
    env = environment(database_url=sqlite_url(tmp_path), secrets_dir=str(secrets))

    def write(text: str) -> None:
        (secrets / "new").write_text(text, encoding="utf-8")
        (secrets / "new").rename(file)

    write(entry_of(ann=OLD))
    with admin_api({**env, "WXLOGIN_ADMIN_KEYS": ""}) as admin:

        def status(key: str) -> int:
            return admin.http.get("/admin/v1/users", headers={"Authorization": f"Bearer {key}"}).status_code

        before = [status(OLD), status(NEW)]
        write(entry_of(ann=OLD, bob=NEW))
        admin.process.process.send_signal(signal.SIGHUP)
        wait_until(lambda: status(NEW) == 200, "the new key")
        both = [status(OLD), status(NEW)]
        write("{")
        admin.process.process.send_signal(signal.SIGHUP)
        admin.process.event("reload_failed")
        unchanged = [status(OLD), status(NEW)]
        write(entry_of(bob=NEW))
        admin.process.process.send_signal(signal.SIGHUP)
        wait_until(lambda: status(OLD) == 401, "the end of the old key")
        after = status(NEW)

        assert admin.process.stop() == 0

    assert before == [200, 401]
    assert both == unchanged == [200, 200]
    assert after == 200
    assert OLD not in admin.process.text()
    assert NEW not in admin.process.text()


@pytest.mark.parametrize("url", ["postgresql+asyncpg://nobody@127.0.0.1:1/none"])
def test_without_a_database_it_does_not_start(url: str) -> None:
    """Without a database that answers, `admin` ends with status 4."""
    done = run("admin", "--port", "0", env=environment(database_url=url, admin_keys=ADMIN_KEYS))

    assert (done.returncode, done.stdout) == (4, "")


def test_without_tables_it_does_not_start(tmp_path: Path) -> None:
    """On a database that is not migrated, `admin` ends with status 5 and names the command that helps."""
    done = run("admin", "--port", "0", env=environment(database_url=sqlite_url(tmp_path), admin_keys=ADMIN_KEYS))

    assert done.returncode == 5
    assert "wxlogin migrate" in done.stderr


def test_no_app_is_needed(tmp_path: Path) -> None:
    """The admin API starts with the database, the encryption keys and the admin keys alone."""
    whole = environment(database_url=sqlite_url(tmp_path))
    names = ("WXLOGIN_DATABASE_URL", "WXLOGIN_ENCRYPTION_KEYS")
    with admin_api({**clean_environment(), **{name: whole[name] for name in names}}) as admin:
        assert admin.get("/users") == {"users": [], "next": None}
