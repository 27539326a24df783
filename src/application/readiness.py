"""Whether the service can do its work."""

import asyncio
from collections.abc import Sequence

from application.ports import Probe
from domain.errors import StoreUnavailable


class Readiness:
    """Asks everything that a login needs, WeChat aside: it is not ours, and being busy does not make us unready."""

    def __init__(self, probes: Sequence[Probe]) -> None:
        self._probes = probes

    async def __call__(self) -> dict[str, str | None]:
        """By name: None for what answers, else what is wrong with it."""
        answers = await asyncio.gather(*(self._ask(probe) for probe in self._probes))
        return {probe.name: answer for probe, answer in zip(self._probes, answers, strict=True)}

    async def _ask(self, probe: Probe) -> str | None:
        try:
            await probe.check()
        except StoreUnavailable as error:
            return error.detail
        return None
