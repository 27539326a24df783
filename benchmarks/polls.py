"""`python -m benchmarks.polls`: the processor time of 1,000 scans that websites poll every two seconds."""

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import psutil
import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.loop import HOST
from benchmarks.servers import ROOT, Server
from benchmarks.services import GRANIAN, python

sys.path.append(str(ROOT / "tests"))

from support import processes
from support.servers import migrate_database, sqlite_url

SCANS, INTERVAL = 1000, 2.0
SECONDS, ROUNDS = 6.0, 4
"""All rounds together are shorter than the life of a scan, which is 120 seconds."""
CONNECTIONS = 16
NOTHING = "nothing"
DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"

Send = Callable[[int], Awaitable[None]]


async def start_scans(http: aiohttp.ClientSession, authorization: str) -> list[str]:
    """Start the scans, and return their device codes."""
    codes = []
    for number in range(SCANS):
        form = {"ip": f"2001:db8:{number:x}::1", "user_agent": "Mozilla/5.0 (Windows NT 10.0) Chrome/140.0"}
        async with http.post(
            "/oauth2/device_authorization", headers={"Authorization": authorization}, data=form
        ) as response:
            codes.append((await response.json())["device_code"])
    return codes


async def pace(send: Send, seconds: float) -> None:
    """Send for each scan in turn, evenly over the interval."""
    began, sent, running = time.perf_counter(), 0, set[asyncio.Task[None]]()
    while (passed := time.perf_counter() - began) < seconds:
        while sent < passed * SCANS / INTERVAL:
            task = asyncio.ensure_future(send(sent % SCANS))
            running.add(task)
            task.add_done_callback(running.discard)
            sent += 1
        await asyncio.sleep(0.001)
    await asyncio.gather(*running)


def used(service: psutil.Process) -> float:
    """Return the processor time of the service and its workers so far, in seconds."""
    times = [each.cpu_times() for each in (service, *service.children(recursive=True))]
    return float(sum(each.user + each.system for each in times))


async def nothing(_number: int) -> None:
    """Send nothing: what the service costs by itself."""


async def measure(service: processes.Service, bare: Server, authorization: str) -> dict[str, list[float]]:
    """Return the processor time of each kind of request, as shares of a core, round by round."""
    url, bare_url = service.url, f"http://{HOST}:{bare.port}/"
    measured, ceiling = psutil.Process(service.process.process.pid), psutil.Process(bare.pid)
    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    async with aiohttp.ClientSession(url, connector=connector) as http:
        codes = await start_scans(http, authorization)
        headers = {"Authorization": authorization, "Content-Type": "application/x-www-form-urlencoded"}
        bodies = [f"grant_type={DEVICE_CODE}&device_code={code}".encode() for code in codes]
        seen: set[bytes] = set()

        async def poll(number: int) -> None:
            async with http.post("/oauth2/token", data=bodies[number], headers=headers) as response:
                seen.add(await response.read())

        async def probe(_number: int) -> None:
            async with http.get("/healthz") as response:
                await response.read()

        async def poll_ceiling(number: int) -> None:
            async with http.post(bare_url, data=bodies[number], headers=headers) as response:
                await response.read()

        await pace(poll, INTERVAL)  # the framework answers each poll once
        kinds: dict[str, tuple[Send, psutil.Process]] = {
            NOTHING: (nothing, measured),
            GRANIAN: (poll_ceiling, ceiling),
            "/healthz": (probe, measured),
            "polls": (poll, measured),
        }
        shares: dict[str, list[float]] = {kind: [] for kind in kinds}
        for _ in range(ROUNDS):
            for kind, (send, process) in kinds.items():
                began = used(process)
                await pace(send, SECONDS)
                shares[kind].append((used(process) - began) / SECONDS)
        errors = {json.loads(body)["error"] for body in seen}
        assert errors <= {"authorization_pending", "slow_down"}, errors
    return shares


def main() -> None:
    """Print the table."""
    authorization = aiohttp.encode_basic_auth("shop", "s3cret")
    with tempfile.TemporaryDirectory() as directory, processes.sandbox() as wechat:
        url = sqlite_url(Path(directory))
        migrate_database(url)
        env = processes.environment(
            database_url=url,
            wechat_url=wechat.url,
            clients=json.dumps({"shop": "s3cret"}),
            issuer="https://id.example.com",
        )
        ceiling = python(GRANIAN, "benchmarks.bare_granian", Path(directory), set(range(os.cpu_count() or 1)))
        with processes.service(env=env) as service, ceiling as bare:
            measured = uvloop.run(measure(service, bare, authorization))
    table = Table("500 requests a second", "% of a core", "from", "to", "us each, above nothing")
    idle = statistics.median(measured[NOTHING])
    for kind, shares in measured.items():
        share = statistics.median(shares)
        figures = [f"{100 * each:.1f}" for each in (share, min(shares), max(shares))]
        table.add_row(kind, *figures, f"{(share - idle * (kind != GRANIAN)) / (SCANS / INTERVAL) * 1e6:.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
