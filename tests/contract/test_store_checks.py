"""Whether a session store says that it answers, on every store."""

import pytest

from domain.errors import StoreUnavailable
from support.places import open_environment
from support.sessions import KEYS, Scenario

pytestmark = pytest.mark.anyio


async def test_a_store_that_answers_passes_its_check(scenario: Scenario) -> None:
    """The check of a store that answers raises nothing."""
    await scenario.store.check()

    assert scenario.store.name == "session store"


async def test_a_store_that_does_not_answer_fails_its_check(unreachable_place: str) -> None:
    """The check of a store whose server does not exist raises StoreUnavailable."""
    async with open_environment(unreachable_place) as environment:
        store, _ = environment.open(KEYS)
        with pytest.raises(StoreUnavailable):
            await store.check()
