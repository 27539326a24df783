"""Running a command: settings in, results on stdout, errors on stderr with the exit status they deserve."""

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
    """End the command."""
    sys.stderr.write(f"wxlogin: {message}\n")
    sys.exit(status)


@contextmanager
def exit_statuses() -> Iterator[None]:
    """Turns errors into a line on stderr and an exit status; a defect is the one thing that shows a traceback."""
    try:
        yield
    except SettingsError as error:
        fail(str(error), Exit.MISCONFIGURED)
    except WxLoginError as error:
        fail(f"{error.code}: {explained(error)}", outcome_of(error).exit)
    except KeyboardInterrupt:
        sys.exit(130)


def run(work: Callable[[Container], Awaitable[T]]) -> T:
    """What `work` makes of the container of this process's settings."""
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
