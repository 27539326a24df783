"""The programs of docs/embedding.md, run unchanged except for the address and the code."""

import json
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest
from redis import Redis

from support.pages import ROOT, blocks
from support.processes import Environment, Sandbox, environment, running
from support.servers import wait_until

each_page = pytest.mark.parametrize("page", ["docs/embedding.md", "docs/embedding.zh-CN.md"])


@pytest.fixture
def env(sandbox: Sandbox, own_redis_url: str, sqlite_url: str) -> Environment:
    """The settings of an installation."""
    return environment(database_url=sqlite_url, wechat_url=sandbox.url, redis_url=own_redis_url)


def program(page: str, what: str, code: str, redis_url: str = "") -> list[str]:
    """Return the command that runs the page's program with `what` in it."""
    (source,) = [block for block in blocks((ROOT / page).read_text(encoding="utf-8"), "python") if what in block]
    assert source.count("the code of wx.login()") == 1
    source = source.replace("the code of wx.login()", code)
    return [sys.executable, "-c", source.replace("redis://cache:6379/0", redis_url)]


@each_page
def test_the_program_that_logs_in_by_itself(page: str, env: Environment, sandbox: Sandbox) -> None:
    """The program that logs in prints the user, whether the user is new, and the token."""
    command = program(page, "open_container", sandbox.code())
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=True)

    assert re.fullmatch(r"[0-9a-f-]{36} True [A-Za-z0-9_-]{43}\n", done.stdout)


@each_page
def test_the_program_that_sends_a_job(page: str, env: Environment, sandbox: Sandbox, own_redis_url: str) -> None:
    """The program that queues a job prints the user and the token, or the problem of a refused code."""
    with running("worker", env=env) as worker:
        worker.event("working")
        commands = [program(page, "AsyncKicker", code, own_redis_url) for code in (sandbox.code(), "never-issued")]
        done = [subprocess.run(each, capture_output=True, text=True, timeout=60, check=True) for each in commands]

    assert re.fullmatch(r"[0-9a-f-]{36} [A-Za-z0-9_-]{43}\n", done[0].stdout)
    assert done[1].stdout.startswith("code_invalid new_code ")


class Trap:
    """An object that creates a directory when it is unpickled."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self._directory),)


@each_page
def test_a_planted_pickle_is_not_unpickled(page: str, own_redis_url: str, tmp_path: Path) -> None:
    """A pickle in Redis is not unpickled by the program that waits for a result."""
    planted = pickle.dumps(Trap(tmp_path / "trap"))
    with Redis.from_url(own_redis_url) as redis:
        redis.delete("wxlogin")
        waiting = subprocess.Popen(program(page, "AsyncKicker", "x", own_redis_url), stderr=subprocess.PIPE, text=True)
        wait_until(lambda: redis.xlen("wxlogin") == 1, "the job")
        [(_, fields)] = redis.xrange("wxlogin")
        redis.set(json.loads(fields[b"data"])["task_id"], planted)
        _, error = waiting.communicate(timeout=60)

    assert waiting.returncode != 0
    assert "UnicodeDecodeError" in error or "JSONDecodeError" in error
    assert not (tmp_path / "trap").exists()
