"""A store or the service is killed with SIGKILL while a website redeems a scan.

No website gets two tokens for one scan, and afterwards the scan is spent, or can be redeemed by a poll.
"""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import make_url

from support.devices import Device
from support.faults import address_of_database
from support.processes import Environment, Sandbox, Service, environment, service
from support.proxy import Proxy, proxy
from support.servers import Server, migrate_database, postgres_server, redis_server, sqlite_url, wait_until
from support.traps import Trap

SHOP, CAFE = ("shop", "s3cret"), ("cafe", "caf3")
DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
MOST_STEPS = 100
"""More parts of data than a redeem has."""
DELAYS = [number / 1000 for number in range(15)]
"""When to kill a service whose store is a file, in seconds after the start of a redeem, which takes about ten ms."""

SPENT = "invalid_grant"


@dataclass
class Shop:
    """A website, and the user who logs in there, at a service that a test kills and starts again."""

    env: Environment
    sandbox: Sandbox
    stack: ExitStack
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def __post_init__(self) -> None:
        self.revive()
        self.phone = Device(self.service, self.sandbox.code())

    def revive(self) -> None:
        """Start the service, in place of the one before."""
        self.stack.close()
        self.service: Service = self.stack.enter_context(service(env=self.env))
        if hasattr(self, "phone"):
            self.phone.use(self.service)

    def kill(self) -> None:
        """Kill all processes of the service."""
        self.service.process.kill()

    def approved_scan(self) -> tuple[str, str]:
        """Return the device code of a scan that its user has approved, and the address of its browser."""
        ip = f"2001:db8::{next(self.numbers):x}"
        scan = self.service.http.post("/oauth2/device_authorization", auth=SHOP, data={"ip": ip}).raise_for_status()
        started = scan.json()
        path = f"/v1/scans/{started['wxacode'].rpartition('/')[2].removesuffix('.jpg')}"
        self.phone.send("GET", path).raise_for_status()
        body = {"approve": True, "match_number": started["match_number"]}
        self.phone.send("POST", path, json=body).raise_for_status()
        return str(started["device_code"]), ip

    def poll(self, code: str, auth: tuple[str, str] = SHOP) -> tuple[str, str]:
        """Poll once. Return "token" and the token, or the error and its description."""
        form = {"grant_type": DEVICE_CODE, "device_code": code}
        try:
            answer = self.service.http.post("/oauth2/token", auth=auth, data=form)
        except httpx2.TransportError as error:
            return "no answer", repr(error)
        body: dict[str, Any] = answer.json()
        if answer.is_success:
            return "token", body["access_token"]
        assert (answer.status_code, body["error"]) in {(400, SPENT), (503, "temporarily_unavailable")}, answer.text
        return body["error"], body["error_description"]

    def poll_to_the_end(self, code: str) -> tuple[str, str]:
        """Poll until the answer is a token, or that there is none to come."""
        answers: list[tuple[str, str]] = []

        def is_over() -> bool:
            answers.append(self.poll(code))
            return answers[-1][0] in ("token", SPENT)

        wait_until(is_over, "the end of the scan")
        return answers[-1]

    def check(self, code: str, ip: str, first: tuple[str, str]) -> str:
        """Check all promises after a kill, and return how the scan ended."""
        stolen = self.poll(code, CAFE)
        last = first if first[0] == "token" else self.poll_to_the_end(code)
        again = self.poll_to_the_end(code)
        listed = [each for each in self.phone.sessions() if each["ip"] == ip]

        assert stolen[0] == SPENT
        assert again[0] == SPENT
        assert len(listed) <= 1
        if last[0] == "token":
            bearer = {"Authorization": f"Bearer {last[1]}"}
            current = self.service.http.get("/v1/sessions/current", headers=bearer).raise_for_status().json()
            assert [each["id"] for each in listed] == [current["id"]]
        return f"{first[0]}, then {last[0]}, {len(listed)} session" if first != last else first[0]


def settings(sandbox: Sandbox, **stores: str) -> Environment:
    """Return the settings of a service with two websites."""
    clients = json.dumps(dict([SHOP, CAFE]))
    issuer = "https://id.example.com"
    return environment(wechat_url=sandbox.url, clients=clients, issuer=issuer, sessions_per_user="0", **stores)


@contextmanager
def on_redis(sandbox: Sandbox, directory: Path) -> Iterator[tuple[Environment, Server, Proxy]]:
    """Run a Redis that writes each change to the disk before it answers."""
    url = sqlite_url(directory)
    migrate_database(url)
    with redis_server(appendonly="yes", appendfsync="always") as redis, proxy(("127.0.0.1", redis.port)) as between:
        here = f"redis://127.0.0.1:{between.port}/0"
        yield settings(sandbox, database_url=url, redis_url=here), redis, between


@contextmanager
def on_postgresql(sandbox: Sandbox, _: Path) -> Iterator[tuple[Environment, Server, Proxy]]:
    """Run a PostgreSQL, which hands each change to the operating system before it answers."""
    with postgres_server() as (url, postgres), proxy(address_of_database(url)) as between:
        migrate_database(url)
        here = make_url(url).set(host="127.0.0.1", port=between.port).difference_update_query(["host"])
        yield settings(sandbox, database_url=here.render_as_string(hide_password=False)), postgres, between


@pytest.mark.parametrize(
    ("store", "what", "stride"),
    [(on_redis, "store", 1), (on_postgresql, "store", 1), (on_redis, "service", 1)],
    ids=["redis", "postgresql", "service"],
)
@pytest.mark.timeout(900)  # a busy machine takes seconds for each start of a killed server
def test_a_kill_at_any_step_of_a_redeem_gives_no_second_token(
    store: Any, what: str, stride: int, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Each part of data between the service and its store is lost once, with a kill of the store or of the service.

    A killed PostgreSQL takes long to start, and sends many parts: there it is every fourth part. The website
    gets the token or a clear error, at most one token for each scan, and no one else gets one.
    """
    ends: Counter[str] = Counter()
    with store(sandbox, tmp_path) as (env, server, between), ExitStack() as stack:
        shop = Shop(env, sandbox, stack)
        trap = Trap(server.kill if what == "store" else shop.kill)
        trap.watch(between)
        for step in range(0, MOST_STEPS, stride):
            code, ip = shop.approved_scan()
            trap.arm(step)
            first = shop.poll(code)
            struck = trap.disarm()
            if struck and what == "store":
                server.start()
            elif struck:
                shop.revive()
            ends[shop.check(code, ip, first)] += 1
            if not struck:
                break

    assert not struck  # the last redeem had fewer parts
    assert step > 8
    assert ends["token"] >= 1
    assert any(f"then {SPENT}" in end for end in ends), ends
    assert any("then token" in end for end in ends), ends
    assert (what == "service") == any("no answer" in end for end in ends), ends


def test_a_kill_at_any_time_of_a_redeem_gives_no_second_token(sandbox: Sandbox, tmp_path: Path) -> None:
    """With SQLite, where the store dies with the service, a kill at any time leaves at most one token and session."""
    url = sqlite_url(tmp_path)
    migrate_database(url)
    ends: Counter[str] = Counter()
    with ExitStack() as stack:
        shop = Shop(settings(sandbox, database_url=url), sandbox, stack)
        for delay in DELAYS:
            code, ip = shop.approved_scan()
            timer = threading.Timer(delay, shop.kill)
            timer.start()
            first = shop.poll(code)
            timer.join()
            shop.revive()
            ends[shop.check(code, ip, first)] += 1

    assert ends.total() == len(DELAYS)
