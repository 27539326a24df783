"""`python -m benchmarks.growth`: /auth with a growing number of connections and sessions, in turn, as a picture."""

import argparse
import random
import resource
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from benchmarks import services
from benchmarks.load import Load
from benchmarks.report import Result, ratio
from benchmarks.scenarios import play
from benchmarks.servers import OTHER_CORES, ROOT, Server, pin
from benchmarks.services import FASTIFY, WXLOGIN
from benchmarks.sessions import token_of, write_wxlogin_sessions
from benchmarks.stores import redis_urls

SERVICES = {WXLOGIN: "#07c160", FASTIFY: "#888888"}
SIZES = (10, 1_000, 100_000, 1_000_000)
USUAL_CONNECTIONS, USUAL_SESSIONS = 32, 1_000
NO_WECHAT = "http://127.0.0.1:9"  # no test logs in
ASKED = 50_000
"""The number of randomly chosen sessions. It exceeds the requests of one round, so that no session is checked twice."""


@dataclass(frozen=True)
class Step:
    """One point of one curve."""

    curve: str
    connections: int = USUAL_CONNECTIONS
    sessions: int = USUAL_SESSIONS

    @property
    def at(self) -> int:
        return int(getattr(self, self.curve))


STEPS = [
    *(Step("connections", connections=n) for n in (1, 10, 100, 1_000)),
    *(Step("sessions", sessions=n) for n in SIZES),
]
Results = dict[tuple[str, Step], Result]


@contextmanager
def servers() -> Iterator[dict[tuple[str, int], Server]]:
    """Start the servers, by name and number of sessions. Each has its own Redis database."""
    wanted = [(name, size) for size in SIZES for name in SERVICES]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="wxlogin-bench-")))
        urls = stack.enter_context(redis_urls(folder, len(wanted)))
        started = {}
        for (name, size), url in zip(wanted, urls, strict=True):
            print(f"{size:,} sessions for {name}", file=sys.stderr)
            around = services.Surroundings(folder, NO_WECHAT, url, f"sqlite:///{folder / str(size)}.db", range(size))
            if name == WXLOGIN:
                write_wxlogin_sessions(url, around.users)
            started[name, size] = stack.enter_context(services.STARTS[name](around))
        yield started


def measure(measured: dict[tuple[str, int], Server], rounds: int, seconds: float) -> Results:
    results = {(name, step): Result(f"{step.curve}: {step.at:,}", name, []) for step in STEPS for name in SERVICES}
    for number in range(rounds):
        for (name, step), result in results.items():
            server = measured[name, step.sessions]
            tokens = [token_of(user) for user in random.sample(range(step.sessions), min(step.sessions, ASKED))]
            result.rounds.append(play(Load(server.port, server.pid, step.connections, seconds, tokens=tokens)))
            progress = f"{number + 1}/{rounds} {result.scenario} {name}"
            print(f"{progress}: {result.rounds[-1].requests_per_second:,.0f} req/s", file=sys.stderr)
    return results


def show(results: Results) -> None:
    table = Table(title="/auth on one core: medians of the rounds")
    for column in ("", "service", "req/s", "p50 ms", "p99 ms", "CPU µs", "to the first", "errors"):
        table.add_column(column, justify="left" if column in ("", "service") else "right")
    for (name, step), result in results.items():
        first = next(other for (its, earlier), other in results.items() if (its, earlier.curve) == (name, step.curve))
        table.add_row(
            result.scenario,
            name,
            f"{result.median('requests_per_second'):,.0f}",
            f"{result.median('p50_ms'):.2f}",
            f"{result.median('p99_ms'):.2f}",
            f"{result.median('cpu_us'):,.0f}",
            f"{ratio(result, first):.2f}",
            str(result.errors),
        )
    Console(width=None if Console().is_terminal else 110).print(table)


def draw(results: Results, image: Path) -> None:
    figure = Figure(figsize=(9, 5.5), layout="constrained")
    rows = figure.subplots(2, 2, sharex="col", sharey="row")
    figures = {"requests_per_second": "requests a second", "cpu_us": "CPU time for each request, µs"}
    for row, (figure_name, label) in zip(rows, figures.items(), strict=True):
        row[0].set_ylabel(label)
        for axes, curve in zip(row, ("connections", "sessions"), strict=True):
            for name, colour in SERVICES.items():
                points = [(step.at, results[name, step]) for step in STEPS if step.curve == curve]
                at, found = zip(*points, strict=True)
                medians = [result.median(figure_name) for result in found]
                axes.plot(at, medians, marker="o", color=colour, label=name)
            axes.set_xscale("log")
            axes.minorticks_off()
            axes.set_xticks(at, [f"{n:,}" for n in at])
            axes.set_ylim(bottom=0)
            axes.yaxis.set_major_formatter("{x:,.0f}")
            axes.grid(alpha=0.3)
    rows[1][0].set_xlabel(f"connections ({USUAL_SESSIONS:,} sessions)")
    rows[1][1].set_xlabel(f"sessions in Redis ({USUAL_CONNECTIONS} connections)")
    rows[0][0].legend()
    figure.suptitle("GET /auth on one core: how it grows")
    figure.savefig(image, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="of each service at each point (9)")
    parser.add_argument("--seconds", type=float, default=1, help="of one round, after its warm-up (1)")
    parser.add_argument("--image", type=Path, default=ROOT / "docs/images/growth.png", help="docs/images/growth.png")
    chosen = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # for a thousand connections here and in child processes
    pin(OTHER_CORES)
    with servers() as measured:
        results = measure(measured, chosen.rounds, chosen.seconds)
    show(results)
    chosen.image.parent.mkdir(exist_ok=True)
    draw(results, chosen.image)


if __name__ == "__main__":
    main()
