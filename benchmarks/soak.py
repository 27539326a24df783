"""`python -m benchmarks.soak`: the fault matrix under load, repeatedly, and the growth of the processes.

It also needs the servers of the tests: `make .venv/dev`.
"""

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.servers import ROOT

sys.path.append(str(ROOT / "tests"))

from support.faults import MATRIX, Installation, installation
from support.load import CHECK, LOG_IN, Load, load
from support.processes import sandbox
from support.proxy import How
from support.servers import postgres_server, redis_server, wait_until

CLIENTS = 6
MORE_DESCRIPTORS = 10
"""A pool grows when it is needed: that of the database has 20 places.

A leak of one for each fault exceeds this soon.
"""
MORE_MIB = 24
"""The allowed growth of a process after the first round. It stores 20,000 sessions of about one KiB each."""
MIB = 1024 * 1024
WORKERS_END = {f"worker {name}": number for name, number in (("SIGTERM", signal.SIGTERM), ("SIGKILL", signal.SIGKILL))}


@dataclass
class Row:
    """The results of one case in all rounds."""

    requests: int = 0
    wrong: list[str] = field(default_factory=list)
    refused: int = 0
    broken: int = 0
    slowest: float = 0.0
    no_login: float = 0.0
    no_check: float = 0.0

    def add(self, load: Load) -> None:
        tally = load.tally
        self.requests += tally.requests
        self.wrong += tally.wrong
        self.refused += tally.refused.total()
        self.broken += tally.broken.total()
        self.slowest = max(self.slowest, tally.slowest)
        self.no_login = max(self.no_login, tally.gaps[LOG_IN])
        self.no_check = max(self.no_check, tally.gaps[CHECK])


@dataclass(frozen=True)
class Size:
    """The descriptors and the memory of one process."""

    descriptors: int
    mib: float


def sizes(installed: Installation) -> dict[str, Size]:
    """Return the sizes of all processes, by role. A worker that is not replaced has the same name all the time."""
    supervisor = installed.service.process.process.pid
    processes = {"supervisor": supervisor} | {f"worker {pid}": pid for pid in sorted(installed.workers())}
    found = {name: psutil.Process(pid) for name, pid in processes.items()}
    return {name: Size(process.num_fds(), process.memory_info().rss / MIB) for name, process in found.items()}


@contextmanager
def installed() -> Iterator[Installation]:
    with ExitStack() as stack:
        redis = stack.enter_context(redis_server())
        database_url, _ = stack.enter_context(postgres_server())
        wechat = stack.enter_context(sandbox())
        url = f"redis://127.0.0.1:{redis.port}/0"
        yield stack.enter_context(installation(url, database_url, wechat, session_idle_seconds="1000"))


def replace_worker(installed: Installation, how: signal.Signals) -> None:
    """End the youngest worker, because the oldest is measured until the end."""
    victim = max(installed.workers(), key=lambda pid: psutil.Process(pid).create_time())
    os.kill(victim, how)
    wait_until(lambda: len(set(installed.workers()) - {victim}) == 2, "another process")


def under_load(installed: Installation, fail: Callable[[Load], None]) -> Load:
    """Cause a failure under load, and check every token afterwards."""
    with load(installed.service.url, installed.sandbox, CLIENTS) as working:
        began = time.monotonic()
        wait_until(lambda: working.tally.all_good_since(began), "load")
        fail(working)
        healed = time.monotonic()
        wait_until(lambda: working.tally.all_good_since(healed), "good answers")
        working.verify()
    return working


def fail_for(installed: Installation, what: str, how: How, seconds: float) -> Callable[[Load], None]:
    def fail(working: Load) -> None:
        with installed.failing(what, how, working):
            time.sleep(seconds)

    return fail


def fail_worker(installed: Installation, how: signal.Signals) -> Callable[[Load], None]:
    def fail(_working: Load) -> None:
        replace_worker(installed, how)

    return fail


def cases(installed: Installation, seconds: float) -> Iterator[tuple[str, Callable[[Load], None]]]:
    for what, how in MATRIX:
        yield f"{what} {how}", fail_for(installed, what, how, seconds)
    for name, number in WORKERS_END.items():
        yield name, fail_worker(installed, number)


def show(rows: dict[str, Row], held: list[dict[str, Size]]) -> None:
    console = Console(width=None if Console().is_terminal else 130)
    table = Table(title="Faults under load")
    table.add_column("case")
    for column in (
        "requests",
        "wrong",
        "asked to retry",
        "broken off",
        "longest wait s",
        "no login s",
        "no check s",
    ):
        table.add_column(column, justify="right")
    for case, row in rows.items():
        waits = (f"{seconds:.2f}" for seconds in (row.slowest, row.no_login, row.no_check))
        table.add_row(case, f"{row.requests:,}", str(len(row.wrong)), f"{row.refused:,}", str(row.broken), *waits)
    console.print(table)
    grown = Table(title="Descriptors and MiB of each process")
    grown.add_column("after round", justify="right")
    names = list(dict.fromkeys(name for round_ in held for name in round_))
    lasting = [name for name in names if sum(name in round_ for round_ in held) > 1]
    for name in lasting:
        grown.add_column(name, justify="right")
    for number, round_ in enumerate(held):
        cells = [round_.get(name) for name in lasting]
        grown.add_row(str(number), *(f"{cell.descriptors} / {cell.mib:.1f}" if cell else "" for cell in cells))
    console.print(grown)


def growth(held: list[dict[str, Size]]) -> list[str]:
    """Return the growth beyond the tolerance between the ends of the first and the last round."""
    first, last = held[1], held[-1]
    return [
        f"{name} grew from {first[name]} to {last[name]}"
        for name in first.keys() & last.keys()
        if last[name].descriptors - first[name].descriptors > MORE_DESCRIPTORS
        or last[name].mib - first[name].mib > MORE_MIB
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="rounds are begun for so long (10)")
    parser.add_argument("--seconds", type=float, default=1, help="that a fault lasts once it is noticed (1)")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # an exit that cleans up
    rows: dict[str, Row] = {}
    until = time.monotonic() + chosen.minutes * 60
    with installed() as service:
        held = [sizes(service)]
        while time.monotonic() < until:
            for case, fail in cases(service, chosen.seconds):
                rows.setdefault(case, Row()).add(under_load(service, fail))
            held.append(sizes(service))
            print(f"round {len(held) - 1}: {held[-1]}", file=sys.stderr)
    show(rows, held)
    wrong = [each for row in rows.values() for each in row.wrong]
    broken = [f"{case}: {row.broken} requests broken off" for case, row in rows.items() if row.broken]
    if failures := wrong + [each for each in broken if "SIGKILL" not in each] + growth(held):
        sys.exit("\n".join(failures[:20]))


if __name__ == "__main__":
    main()
