"""Whether the service can do its work."""

import asyncio

import pytest

from application.ports.probe import Probe
from application.readiness import Readiness
from domain.errors import StoreUnavailable

pytestmark = pytest.mark.anyio


class Answering(Probe):
    """Something that answers."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def check(self) -> None:
        """See Probe."""


class Dead(Answering):
    """Something that does not answer."""

    async def check(self) -> None:
        """See Probe."""
        raise StoreUnavailable(f"{self.name} is gone")


class Meeting(Answering):
    """Something that answers once all others are asked too."""

    def __init__(self, name: str, barrier: asyncio.Barrier) -> None:
        super().__init__(name)
        self._barrier = barrier

    async def check(self) -> None:
        """See Probe."""
        await self._barrier.wait()


async def test_probes_that_answer_are_listed_as_ready() -> None:
    """Everything that answers is named, with nothing wrong."""

    assert await Readiness([Answering("database"), Answering("session store")])() == {
        "database": None,
        "session store": None,
    }


async def test_a_probe_that_fails_is_named_with_its_error() -> None:
    """What does not answer is named with what is wrong, beside what answers."""

    assert await Readiness([Dead("database"), Answering("session store"), Dead("queue")])() == {
        "database": "database is gone",
        "session store": None,
        "queue": "queue is gone",
    }


async def test_everything_is_asked_at_once() -> None:
    """A slow answer delays no other question."""
    barrier = asyncio.Barrier(3)
    readiness = Readiness([Meeting(str(number), barrier) for number in range(3)])

    assert await asyncio.wait_for(readiness(), timeout=5) == {"0": None, "1": None, "2": None}


async def test_without_probes_the_service_is_ready() -> None:
    """A service that needs nothing is ready."""

    assert await Readiness([])() == {}
