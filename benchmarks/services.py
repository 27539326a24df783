"""What is compared: how each service is started, on the same core, with stores and a WeChat of one kind."""

import sys
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.loop import HOST
from benchmarks.servers import (
    OTHER_CORES,
    SERVER_CORE,
    Server,
    environment,
    executable,
    free_port,
    run,
    serving,
)

ARTICLE, WXLOGIN, CEILING = "article (Django)", "wxlogin", "generator's ceiling"

# The article's best case. gunicorn's default worker, sync, knows no keep-alive, and was slower with a new
# connection for each request. gthread keeps them alive; of 1, 2, 4, 8 and 32 threads, 4 and 8 did most on
# one core as long as WeChat answers at once. When it takes its time, one thread a connection is best.
THREADS = 4


@dataclass(frozen=True)
class Surroundings:
    """What a service needs around it."""

    folder: Path
    wechat_url: str
    redis_url: str
    database_url: str
    threads: int


def wechat(folder: Path, delay_ms: float) -> AbstractContextManager[Server]:
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.wechat", "--port", str(port), "--delay-ms", str(delay_ms)]
    log = folder / "wechat.log"
    return serving("WeChat", *command, port=port, env=environment(), log=log, core=OTHER_CORES)


def ceiling(folder: Path) -> AbstractContextManager[Server]:
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.ceiling", str(port)]
    return serving(CEILING, *command, port=port, env=environment(), log=folder / "ceiling.log", core=SERVER_CORE)


def wxlogin(around: Surroundings) -> AbstractContextManager[Server]:
    port, command = free_port(), executable("wxlogin")
    env = environment(
        WXLOGIN_APPID="wx0123456789abcdef",
        WXLOGIN_APP_SECRET="0123456789abcdef0123456789abcdef",
        WXLOGIN_WECHAT_URL=around.wechat_url,
        WXLOGIN_REDIS_URL=around.redis_url,
        WXLOGIN_DATABASE_URL=around.database_url.replace("sqlite:", "sqlite+aiosqlite:").replace(
            "postgresql:", "postgresql+asyncpg:"
        ),
        WXLOGIN_ENCRYPTION_KEYS=run(command, "keygen", env=environment()),
        WXLOGIN_LOGIN_RATE_LIMIT="off",  # all logins here come from one address
        WXLOGIN_LOG_LEVEL="warning",
    )
    run(command, "migrate", env=env)
    serve = [command, "serve", "--host", HOST, "--port", str(port), "--workers", "1"]
    log = around.folder / "wxlogin.log"
    return serving(WXLOGIN, *serve, port=port, env=env, log=log, core=SERVER_CORE)


def article(around: Surroundings) -> AbstractContextManager[Server]:
    port = free_port()
    env = environment(
        DJANGO_SETTINGS_MODULE="benchmarks.article.settings",
        ARTICLE_WECHAT_URL=around.wechat_url,
        ARTICLE_REDIS_URL=around.redis_url,
        ARTICLE_DATABASE_URL=around.database_url,
    )
    run(sys.executable, "-m", "django", "migrate", "--run-syncdb", env=env)
    serve = [sys.executable, "-m", "gunicorn", "benchmarks.article.wsgi", "--bind", f"{HOST}:{port}"]
    serve += [
        "--workers",
        "1",
        "--worker-class",
        "gthread",
        "--threads",
        str(around.threads),
        "--keep-alive",
        "60",
    ]
    serve += ["--no-control-socket", "--log-level", "warning"]
    log = around.folder / "article.log"
    return serving(ARTICLE, *serve, port=port, env=env, log=log, core=SERVER_CORE)
