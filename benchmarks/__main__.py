"""`make bench`: wxlogin beside the article's Django service, round by round in turn."""

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
    parser.add_argument("--only", choices=[scenarios.LOGIN, scenarios.AUTH], help="one scenario")
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite", help="of both services")
    parser.add_argument("--delay-ms", type=float, default=0, help="what WeChat takes to answer (0)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there, too")
    chosen = parser.parse_args()
    if min(chosen.rounds, chosen.seconds, chosen.concurrency) <= 0 or chosen.delay_ms < 0:
        parser.error("rounds, seconds and concurrency begin at 1, a delay at 0")
    return chosen


@contextmanager
def servers(chosen: argparse.Namespace) -> Iterator[list[Server]]:
    """The baseline first. All run throughout: a server that is not asked anything costs nothing."""
    starts = {services.ARTICLE: services.article, services.WXLOGIN: services.wxlogin}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="wxlogin-bench-")))
        redis = stack.enter_context(redis_urls(folder, len(starts)))
        databases = stack.enter_context(database_urls(chosen.database, folder, ["article", "wxlogin"]))
        wechat = stack.enter_context(services.wechat(folder, chosen.delay_ms))
        threads = chosen.concurrency if chosen.delay_ms else services.THREADS
        wechat_url = f"http://{HOST}:{wechat.port}"
        started = [
            stack.enter_context(start(services.Surroundings(folder, wechat_url, redis_url, database_url, threads)))
            for start, redis_url, database_url in zip(starts.values(), redis, databases, strict=True)
        ]
        yield [*started, stack.enter_context(services.ceiling(folder))]


def prepare(server: Server) -> list[str]:
    """Makes all users returning users; the tokens to check."""
    try:
        scenarios.log_in(server, scenarios.LOGIN_USERS)
        tokens = scenarios.log_in(server, scenarios.AUTH_USERS)
        if server.name != services.CEILING:
            scenarios.check_tokens(server, tokens)
    except (OSError, HTTPException, scenarios.AnswerError) as error:
        sys.exit(f"{server.name}: {error}\n{server.log.read_text()[-2000:]}")
    return tokens


def compare(chosen: argparse.Namespace, measured: list[Server]) -> list[report.Result]:
    tokens = {server.name: prepare(server) for server in measured}
    results = []
    for scenario in [chosen.only] if chosen.only else [scenarios.LOGIN, scenarios.AUTH]:
        found = {server.name: report.Result(scenario, server.name, []) for server in measured}
        for number in range(chosen.rounds):
            for server in measured:  # in turn, so that a noisy minute falls on all of them
                played = scenarios.play(scenario, server, tokens[server.name], chosen.concurrency, chosen.seconds)
                found[server.name].rounds.append(played)
                progress = f"{scenario} {number + 1}/{chosen.rounds} {server.name}"
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
    conditions = {name: value for name, value in vars(chosen).items() if name != "json"}
    conditions["stolen_cpu"] = stolen
    report.show(results, conditions)
    if chosen.json:
        chosen.json.write_text(json.dumps(report.as_json(results, conditions), indent=2) + "\n")
    if any(result.errors for result in results):
        first = next(filter(None, (played.first_error for result in results for played in result.rounds)), "none")
        sys.exit(f"Unexpected answers, the first: {first}")


if __name__ == "__main__":
    main()
