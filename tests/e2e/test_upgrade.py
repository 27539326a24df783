"""An upgrade, and the way back: the release before and this one, side by side on one database."""

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import httpx2
import pytest

from support import servers
from support.pages import ROOT
from support.places import DATABASES
from support.processes import Environment, Sandbox, environment, run, service
from support.servers import wait_until

MIGRATIONS = "src/adapters/sql/migrations/versions"
LAST_RENAMING = "0006_retention.py"
"""The last migration that renames: there was no release before it."""

MAIN = "from entrypoints.cli.main import main; main()"


def git(*arguments: str) -> str:
    """Return what git prints, without its last line break; nothing if it fails."""
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def release_before() -> str:
    """Return the commit of the release before.

    That is the last tag. Until there is one, it is the commit before the newest migration that only adds, and this
    commit if there is none or the clone does not go back so far.
    """
    newest = max((ROOT / MIGRATIONS).glob("0*.py")).name
    added = git("log", "--diff-filter=A", "--format=%H", "-1", "--", f"{MIGRATIONS}/{newest}")
    before = git("rev-parse", "--verify", "--quiet", f"{added}~1") if added and newest > LAST_RENAMING else ""
    return git("describe", "--tags", "--abbrev=0") or before or "HEAD"


@pytest.fixture(scope="module")
def old_code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source of the release before."""
    directory = tmp_path_factory.mktemp("before")
    archive = subprocess.run(["git", "archive", release_before()], cwd=ROOT, capture_output=True, check=True)
    subprocess.run(["tar", "-x", "-C", directory], input=archive.stdout, check=True)
    return directory


@contextmanager
def old_service(code: Path, env: Environment) -> Iterator[str]:
    """Run the release before on this database, after its own migrations, and yield its URL."""
    command = [sys.executable, "-c", MAIN]
    env = env | {"PYTHONPATH": f"{code / 'src'}{os.pathsep}{code / 'sandbox/src'}"}
    subprocess.run([*command, "migrate"], env=env, check=True, timeout=60)
    lines: list[str] = []
    serving = [*command, "serve", "--port", "0"]
    with subprocess.Popen(serving, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout
        reader = threading.Thread(target=lines.extend, args=[iter(process.stdout.readline, "")])
        reader.start()

        def url() -> str:
            return next((json.loads(line)["url"] for line in lines if '"serving"' in line), "")

        try:
            wait_until(lambda: bool(url()) or process.poll() is not None, "the release before")
            assert url(), "".join(lines)
            yield url()
        finally:
            process.terminate()
            reader.join(timeout=30)


class Load:
    """Users who log in, change their name and ask who they are, until the block ends."""

    def __init__(self, url: str, sandbox: Sandbox) -> None:
        self.statuses: Counter[int] = Counter()
        self._url, self._sandbox, self._over = url, sandbox, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        with httpx2.Client(base_url=self._url, timeout=30) as http:
            while not self._over.is_set():
                login = http.post("/v1/sessions", json={"code": self._sandbox.code()})
                bearer = {"Authorization": f"Bearer {login.json().get('token')}"}
                renamed = http.put("/v1/me", json={"name": "小明"}, headers=bearer)
                checked = http.get("/auth", headers=bearer)
                self.statuses.update([login.status_code, renamed.status_code, checked.status_code])


def log_in(url: str, sandbox: Sandbox) -> str:
    """Log a user in, and return the token."""
    response = httpx2.post(f"{url}/v1/sessions", json={"code": sandbox.code()}, timeout=30)
    return str(response.raise_for_status().json()["token"])


def name_of(url: str, token: str) -> int:
    """Return the status of asking for the user of a token."""
    return httpx2.get(f"{url}/v1/me", headers={"Authorization": f"Bearer {token}"}, timeout=30).status_code


@pytest.mark.parametrize("kind", DATABASES)
def test_the_release_before_serves_on_the_new_schema(
    kind: str, old_code: Path, request: pytest.FixtureRequest, sandbox: Sandbox, tmp_path: Path
) -> None:
    """While this release migrates, starts beside it and stops again, the release before loses no request.

    Each of them accepts the tokens of the other.
    """
    url = (
        servers.sqlite_url(tmp_path)
        if kind == "sqlite"
        else servers.create_database(request.getfixturevalue({"postgresql": "postgres"}.get(kind, kind)))
    )
    env = environment(database_url=url, wechat_url=sandbox.url)
    with old_service(old_code, env) as before, Load(before, sandbox) as load:
        old_token = log_in(before, sandbox)
        wait_until(lambda: load.statuses.total() > 10, "the load")
        assert run("migrate", env=env).returncode == 0
        with service(env=env) as now:
            new_token = log_in(now.url, sandbox)
            seen = [name_of(where, token) for where in (before, now.url) for token in (old_token, new_token)]
        rolled_back = name_of(before, new_token)

    assert seen == [200] * 4
    assert rolled_back == 200
    assert set(load.statuses) == {200, 201, 204}
