"""The readiness of the service."""

import asyncio

import pytest

from application.ports.probe import Probe
from application.readiness import Readiness
from domain.errors import StoreUnavailable

pytestmark = pytest.mark.anyio


class Answering(Probe):
    """A probe that succeeds."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def check(self) -> None:
        """See Probe."""


class Dead(Answering):
    """A probe that fails."""

    async def check(self) -> None:
        """See Probe."""
        raise StoreUnavailable(f"{self.name} is gone")


class Meeting(Answering):
    """A probe that succeeds after all other probes have started."""

    def __init__(self, name: str, barrier: asyncio.Barrier) -> None:
        super().__init__(name)
        self._barrier = barrier

    async def check(self) -> None:
        """See Probe."""
        await self._barrier.wait()


async def test_probes_that_answer_are_listed_as_ready() -> None:
    """Every probe that succeeds is listed by name, without an error."""

    assert await Readiness([Answering("database"), Answering("session store")])() == {
        "database": None,
        "session store": None,
    }


async def test_a_probe_that_fails_is_named_with_its_error() -> None:
    """A probe that fails is listed with its error, beside the probes that succeed."""

    assert await Readiness([Dead("database"), Answering("session store"), Dead("queue")])() == {
        "database": "database is gone",
        "session store": None,
        "queue": "queue is gone",
    }


async def test_probes_run_concurrently() -> None:
    """A slow probe does not delay another probe."""
    barrier = asyncio.Barrier(3)
    readiness = Readiness([Meeting(str(number), barrier) for number in range(3)])

    assert await asyncio.wait_for(readiness(), timeout=5) == {"0": None, "1": None, "2": None}


async def test_without_probes_the_service_is_ready() -> None:
    """A service without probes is ready."""

    assert await Readiness([])() == {}
