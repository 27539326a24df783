"""Check whether the service is ready."""

import asyncio
from collections.abc import Sequence

from application.ports.probe import Probe
from domain.errors import StoreUnavailable


class Readiness:
    """Checks the stores that a login needs. WeChat is not checked: the service is ready while WeChat is busy."""

    def __init__(self, probes: Sequence[Probe]) -> None:
        self._probes = probes

    async def __call__(self) -> dict[str, str | None]:
        """Return, by the name of each probe, None if it answers, else what is wrong."""
        answers = await asyncio.gather(*(self._ask(probe) for probe in self._probes))
        return {probe.name: answer for probe, answer in zip(self._probes, answers, strict=True)}

    async def _ask(self, probe: Probe) -> str | None:
        try:
            await probe.check()
        except StoreUnavailable as error:
            return error.detail
        return None
