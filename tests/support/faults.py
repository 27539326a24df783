"""A service behind proxies, so that each of its servers can fail."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import product
from urllib.parse import urlsplit

import psutil
from sqlalchemy import make_url

from support.load import LOG_IN, STEPS, Load
from support.processes import Sandbox, Service, environment, service
from support.proxy import Address, How, Proxy, proxy
from support.servers import wait_until

REDIS, DATABASE, WECHAT = "redis", "database", "wechat"

NEEDED_BY = {REDIS: STEPS, DATABASE: (LOG_IN,), WECHAT: (LOG_IN,)}
"""The steps that need each server, with sessions in Redis. All other steps continue without an error."""

FAULTS = [How.SLOW, How.REFUSING, How.RESETTING, How.SILENT, How.CUT]
MATRIX = list(product(NEEDED_BY, FAULTS))

REFUSALS = 40
"""The number of refusals that show an outage. When a refusal takes seconds, one for each client is enough."""

NOTICED_SECONDS = 30.0
"""The time limit in which a busy machine sends that many requests."""
HEALED_SECONDS = 10.0
"""The time limit until all clients get correct answers again, including those that still wait for an old answer."""


@dataclass
class Installation:
    """A service of two processes, and the proxies before its servers."""

    service: Service
    sandbox: Sandbox
    proxies: dict[str, Proxy]

    @contextmanager
    def failing(self, what: str, how: How, load: Load) -> Iterator[None]:
        """Make a server fail.

        The block starts when the clients notice the failure, and at its end correct answers return. A slow server
        causes no errors.
        """
        tally = load.tally
        going_on = [step for step in STEPS if how is How.SLOW or step not in NEEDED_BY[what]]
        enough = tally.refused.total() + {How.SLOW: 0, How.SILENT: len(load.clients)}.get(how, REFUSALS)
        began = time.monotonic()
        self.proxies[what].become(how)
        try:
            wait_until(
                lambda: tally.refused.total() >= enough and tally.all_good_since(began, going_on),
                f"{what} {how}",
                NOTICED_SECONDS,
            )
            yield
        finally:
            self.proxies[what].become(How.PASSING)
        healed = time.monotonic()
        wait_until(lambda: tally.all_good_since(healed), f"good answers after {what} was {how}", HEALED_SECONDS)

    def outages(self) -> str:
        """Return the last log lines about requests that the service could not process."""
        return "".join([line for line in self.service.process.output if "unavailable" in line][-10:])

    def workers(self) -> list[int]:
        """See workers_of."""
        return workers_of(self.service)


@contextmanager
def installation(redis_url: str, database_url: str, sandbox: Sandbox, **settings: str) -> Iterator[Installation]:
    """Run an installation behind proxies, with these stores and this WeChat."""
    redis, database, wechat = urlsplit(redis_url), make_url(database_url), urlsplit(sandbox.url)
    servers: dict[str, Address] = {
        REDIS: (str(redis.hostname), redis.port or 6379),
        DATABASE: address_of_database(database_url),
        WECHAT: (str(wechat.hostname), wechat.port or 80),
    }
    with ExitStack() as stack:
        proxies = {name: stack.enter_context(proxy(address)) for name, address in servers.items()}
        here = {name: f"127.0.0.1:{proxy.port}" for name, proxy in proxies.items()}
        user, at, _ = redis.netloc.rpartition("@")
        database = database.set(host="127.0.0.1", port=proxies[DATABASE].port).difference_update_query(["host"])
        urls = {
            "redis_url": redis._replace(netloc=user + at + here[REDIS]).geturl(),
            "database_url": database.render_as_string(hide_password=False),
            "wechat_url": f"http://{here[WECHAT]}",
        }
        env = environment(wechat_timeout_seconds="2", sessions_per_user="0", **urls, **settings)
        yield Installation(stack.enter_context(service(workers=2, env=env)), sandbox, proxies)


def address_of_database(url: str) -> Address:
    """Return the address of the database's server."""
    parts = make_url(url)
    host = parts.host or str(parts.query.get("host", "127.0.0.1"))
    return f"{host}/.s.PGSQL.{parts.port or 5432}" if host.startswith("/") else (host, parts.port or 5432)


def workers_of(service: Service) -> list[int]:
    """Return the processes of a service that answer requests."""
    return [child.pid for child in psutil.Process(service.process.process.pid).children() if _is_alive(child)]


def _is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
