"""Run a command: results on stdout, errors on stderr, and the exit status of the error."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

import msgspec

from domain.errors import WxLoginError
from entrypoints.container import Container, open_container, require_migrated
from entrypoints.log import configure_logging
from entrypoints.problems import Exit, explained, outcome_of
from entrypoints.settings import Settings, SettingsError, load_settings

T = TypeVar("T")


def fail(message: str, status: Exit) -> NoReturn:
    """Print the message and exit with the status."""
    sys.stderr.write(f"wxlogin: {message}\n")
    sys.exit(status)


@contextmanager
def exit_statuses() -> Iterator[None]:
    """Print errors as a line on stderr, and exit with their status. Only a defect shows a traceback."""
    try:
        yield
    except SettingsError as error:
        fail(str(error), Exit.MISCONFIGURED)
    except WxLoginError as error:
        fail(f"{error.code}: {explained(error)}", outcome_of(error).exit)
    except KeyboardInterrupt:
        sys.exit(130)


def run(work: Callable[[Container], Awaitable[T]]) -> T:
    """Open the container of this process's settings, and return the result of `work`."""
    with exit_statuses():
        settings = load_settings()
        configure_logging(settings)
        return asyncio.run(_run(settings, work))


async def _run(settings: Settings, work: Callable[[Container], Awaitable[T]]) -> T:
    async with open_container(settings) as container:
        await require_migrated(container)
        return await work(container)


def show(answer: Any) -> None:
    """Print a result as JSON."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(answer), indent=2).decode() + "\n")
