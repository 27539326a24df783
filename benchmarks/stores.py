"""Redis and the database for one run: started or given, and restored at the end."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from redis import Redis

from benchmarks.loop import HOST
from benchmarks.servers import OTHER_CORES, environment, free_port, redis_executable, serving

POSTGRES_URL = "postgresql://postgres@127.0.0.1:5432/postgres"


@contextmanager
def redis_urls(folder: Path, count: int) -> Iterator[list[str]]:
    """Yield `count` empty Redis databases, from the last one down, because the first one often has data."""
    with redis_server(folder) as server:
        databases = (urlsplit(server)._replace(path=f"/{n}").geturl() for n in reversed(range(16)))
        urls = [url for url in databases if is_empty(url)][:count]
        if len(urls) < count:
            raise SystemExit(f"TEST_REDIS_URL needs {count} empty databases among its 16")
        try:
            yield urls
        finally:
            for url in urls:
                with Redis.from_url(url) as redis:
                    redis.flushdb()


def is_empty(url: str) -> bool:
    with Redis.from_url(url) as redis:
        return bool(redis.dbsize() == 0)


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    if given := os.environ.get("TEST_REDIS_URL"):
        yield given
        return
    port = free_port()
    command = [redis_executable(), "--bind", HOST, "--port", str(port), "--save", "", "--dir", str(folder)]
    with serving("Redis", *command, port=port, env=environment(), folder=folder, core=OTHER_CORES):
        yield f"redis://{HOST}:{port}"


@contextmanager
def database_urls(engine: str, folder: Path, count: int) -> Iterator[list[str]]:
    """Yield `count` empty databases, as `sqlite:///…` or `postgresql://…`."""
    if engine == "sqlite":
        yield [f"sqlite:///{folder / str(n)}.db" for n in range(count)]
        return
    given = re.sub(r"^postgres\w*(\+\w+)?:", "postgresql:", os.environ.get("TEST_POSTGRES_URL", POSTGRES_URL))
    databases = [f"bench_{os.getpid()}_{n}" for n in range(count)]
    with psycopg.connect(given, autocommit=True) as postgres:
        try:
            for database in databases:
                postgres.execute(f'CREATE DATABASE "{database}"')
            yield [urlsplit(given)._replace(path=f"/{database}").geturl() for database in databases]
        finally:
            for database in databases:
                postgres.execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')
