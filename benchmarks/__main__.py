"""`make bench`: wxlogin beside what a user would take instead, round by round in turn."""

import argparse
import json
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import report, scenarios, services
from benchmarks.loop import HOST
from benchmarks.servers import OTHER_CORES, Server, cpu_ticks, pin, stolen_since
from benchmarks.stores import database_urls, redis_urls


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="of each service in each scenario (10)")
    parser.add_argument("--seconds", type=float, default=2, help="of one round, after its warm-up (2)")
    parser.add_argument("--concurrency", type=int, default=32, help="connections, one request each (32)")
    parser.add_argument("--only", choices=[each.name for each in scenarios.SCENARIOS], help="one scenario")
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite", help="of all services")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there, too")
    chosen = parser.parse_args()
    if min(chosen.rounds, chosen.seconds, chosen.concurrency) <= 0:
        parser.error("rounds, seconds and concurrency begin at 1")
    chosen.scenarios = [each for each in scenarios.SCENARIOS if chosen.only in (None, each.name)]
    return chosen


@contextmanager
def servers(chosen: argparse.Namespace) -> Iterator[dict[str, Server]]:
    """By name. All run throughout: a server that is not asked anything costs nothing."""
    names = list(dict.fromkeys(name for scenario in chosen.scenarios for name in scenario.services))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="wxlogin-bench-")))
        redis = stack.enter_context(redis_urls(folder, len(names)))
        databases = stack.enter_context(database_urls(chosen.database, folder, len(names)))
        wechat_url = f"http://{HOST}:{stack.enter_context(services.wechat(folder)).port}"
        started = {}
        for name, redis_url, database_url in zip(names, redis, databases, strict=True):
            around = services.Surroundings(folder, wechat_url, redis_url, database_url, chosen.concurrency)
            started[name] = stack.enter_context(services.STARTS[name](around))
        yield started


def prepare(server: Server) -> list[str]:
    try:
        return scenarios.prepare(server)
    except (OSError, HTTPException, scenarios.AnswerError) as error:
        sys.exit(f"{server.name}: {error}\n{server.log.read_text()[-2000:]}")


def compare(chosen: argparse.Namespace, measured: dict[str, Server]) -> list[report.Result]:
    tokens = {name: prepare(server) for name, server in measured.items()}
    results = []
    for scenario in chosen.scenarios:
        found = {name: report.Result(scenario.name, name, []) for name in scenario.services}
        for number in range(chosen.rounds):
            for name in scenario.services:  # in turn, so that a noisy minute falls on all of them
                load = scenarios.load_of(scenario, measured[name], tokens[name], chosen.concurrency, chosen.seconds)
                played = scenarios.play(load)
                found[name].rounds.append(played)
                progress = f"{scenario.name} {number + 1}/{chosen.rounds} {name}"
                print(f"{progress}: {played.requests_per_second:,.0f} req/s", file=sys.stderr)
        results += found.values()
    return results


def main() -> None:
    chosen = options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # an exit that cleans up
    pin(OTHER_CORES)
    try:
        with servers(chosen) as measured:
            started = cpu_ticks()
            results = compare(chosen, measured)
            stolen = stolen_since(started)
    except KeyboardInterrupt:
        sys.exit(130)
    conditions = {name: value for name, value in vars(chosen).items() if name not in ("json", "scenarios")}
    conditions["stolen_cpu"] = stolen
    report.show(results, conditions)
    if chosen.json:
        chosen.json.write_text(json.dumps(report.as_json(results, conditions), indent=2) + "\n")
    if any(result.errors for result in results):
        first = next(filter(None, (played.first_error for result in results for played in result.rounds)), "none")
        sys.exit(f"Unexpected answers, the first: {first}")


if __name__ == "__main__":
    main()
