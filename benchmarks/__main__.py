"""`make bench`: wxlogin and its alternatives, measured in turn, round by round."""

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
from benchmarks.load import Load
from benchmarks.loop import HOST
from benchmarks.scenarios import Scenario
from benchmarks.servers import OTHER_CORES, Server, cpu_ticks, pin, stolen_since
from benchmarks.stores import database_urls, redis_urls


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=12, help="of each service in each scenario (12)")
    parser.add_argument("--seconds", type=float, default=1, help="of one round, after its warm-up (1)")
    parser.add_argument(
        "--concurrency",
        type=int,
        default=32,
        help="connections, one request each (32; eight times as many where WeChat is slow)",
    )
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
    """Start all servers, by name. An idle server costs nothing, so all run during the whole benchmark."""
    names = list(dict.fromkeys(name for scenario in chosen.scenarios for name in scenario.services))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="wxlogin-bench-")))
        redis = stack.enter_context(redis_urls(folder, len(names)))
        databases = stack.enter_context(database_urls(chosen.database, folder, len(names)))
        wechat_url = f"http://{HOST}:{stack.enter_context(services.wechat(folder)).port}"
        started = {}
        for name, redis_url, database_url in zip(names, redis, databases, strict=True):
            around = services.Surroundings(folder, wechat_url, redis_url, database_url)
            started[name] = stack.enter_context(services.STARTS[name](around))
        yield started


def prepare(scenario: Scenario, server: Server) -> list[str]:
    try:
        return scenarios.prepare(scenario, server)
    except (OSError, HTTPException, scenarios.AnswerError) as error:
        sys.exit(f"{server.name}: {error}\n{server.log.read_text()[-2000:]}")


def measure(scenario: Scenario, measured: list[Server], chosen: argparse.Namespace) -> list[report.Result]:
    loads = [
        Load(
            server.port,
            server.pid,
            chosen.concurrency * scenario.times,
            chosen.seconds,
            users=list(scenario.users),
            slow=scenario.slow,
            tokens=prepare(scenario, server),
        )
        for server in measured
    ]
    results = [report.Result(scenario.name, server.name, []) for server in measured]
    for number in range(chosen.rounds):
        for load, result in zip(loads, results, strict=True):  # in turn, so that other load affects all of them
            played = scenarios.play(load)
            result.rounds.append(played)
            progress = f"{scenario.name} {number + 1}/{chosen.rounds} {result.service}"
            print(f"{progress}: {played.requests_per_second:,.0f} req/s", file=sys.stderr)
    return results


def compare(chosen: argparse.Namespace, measured: dict[str, Server]) -> list[report.Result]:
    return [
        result
        for scenario in chosen.scenarios
        for result in measure(scenario, [measured[name] for name in scenario.services], chosen)
    ]


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
