"""The results of a run, as a table for people and as JSON for programs."""

import os
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.load import Round
from benchmarks.servers import OTHER_CORES, SERVER_CORE
from benchmarks.services import GRANIAN

PACKAGES = ("wxlogin", "granian", "django", "djangorestframework", "django-redis", "gunicorn")


@dataclass
class Result:
    """All rounds of one service in one scenario."""

    scenario: str
    service: str
    rounds: list[Round]

    def median(self, figure: str) -> float:
        return float(median(getattr(a_round, figure) for a_round in self.rounds))

    @property
    def errors(self) -> int:
        """Return the number of unexpected answers. A round without any answer counts as one."""
        return sum(a_round.errors or not a_round.requests_per_second for a_round in self.rounds)


def baseline_of(result: Result, results: list[Result]) -> Result:
    return next(other for other in results if other.scenario == result.scenario)


def ceiling_of(result: Result, results: list[Result]) -> Result | None:
    return next((other for other in results if (other.scenario, other.service) == (result.scenario, GRANIAN)), None)


def ratio(result: Result, to: Result) -> float:
    """Return the ratio of the rates: the median of the ratios of the rounds.

    Two rounds at about the same time ran on the same machine under the same other load.
    """
    pairs = zip(result.rounds, to.rounds, strict=True)
    return median(mine.requests_per_second / (its.requests_per_second or 1) for mine, its in pairs)


def show(results: list[Result], options: dict[str, Any]) -> None:
    table = Table(title="On one core: medians of the rounds", caption=conditions(options))
    for column in ("scenario", "service"):
        table.add_column(column)
    for column in ("req/s", "p50 ms", "p99 ms", "CPU µs", "ratio", "of ceiling", "server", "generator", "errors"):
        table.add_column(column, justify="right")
    for before, result in zip([None, *results], results, strict=False):
        if before and before.scenario != result.scenario:
            table.add_section()
        table.add_row(*cells(result, results))
    # The same width in a file or a pipe.
    Console(width=None if Console().is_terminal else 120).print(table)


def cells(result: Result, results: list[Result]) -> list[str]:
    ceiling = ceiling_of(result, results)
    return [
        result.scenario,
        result.service,
        f"{result.median('requests_per_second'):,.0f}",
        f"{result.median('p50_ms'):.2f}",
        f"{result.median('p99_ms'):.2f}",
        f"{result.median('cpu_us'):,.0f}",
        f"{ratio(result, baseline_of(result, results)):.2f}",
        f"{ratio(result, ceiling):.2f}" if ceiling else "",
        f"{result.median('server_cpu'):.0%}",
        f"{result.median('generator_cpu'):.0%}",
        str(result.errors),
    ]


def conditions(options: dict[str, Any]) -> str:
    pinned = f"core {SERVER_CORE}, the rest on {OTHER_CORES}" if SERVER_CORE else "not pinned to a core"
    return (
        f"{options['rounds']} rounds of {options['seconds']:g} s, {options['concurrency']} connections "
        f"(x8 in login-50ms), {options['database']}.\n"
        f"Services {pinned}. Other machines of this host took {options['stolen_cpu']:.0%} of the CPU.\n"
        "CPU µs: of the server, for each request. ratio: to the first service of the scenario;\n"
        "of ceiling: to bare Granian; "
        "both are medians of the rounds' own ratios. server, generator: shares of a core; a server far below 100 %\n"
        "that has enough to do shared its core with other programs."
    )


def as_json(results: list[Result], options: dict[str, Any]) -> dict[str, Any]:
    return {"options": options, "machine": machine(), "results": [figures(one, results) for one in results]}


def figures(result: Result, results: list[Result]) -> dict[str, Any]:
    names = ("requests_per_second", "p50_ms", "p99_ms", "cpu_us", "server_cpu", "generator_cpu")
    ceiling = ceiling_of(result, results)
    return {
        "scenario": result.scenario,
        "service": result.service,
        "median": {name: result.median(name) for name in names},
        "errors": result.errors,
        "ratio": ratio(result, baseline_of(result, results)),
        "of_ceiling": ratio(result, ceiling) if ceiling else None,
        "rounds": [asdict(a_round) for a_round in result.rounds],
    }


def machine() -> dict[str, Any]:
    return {
        "platform": platform.platform(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "packages": {name: installed(name) for name in PACKAGES},
    }


def processor() -> str:
    about = Path("/proc/cpuinfo")
    lines = about.read_text().splitlines() if about.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
