"""Pushes for tests, without signatures."""

from application.ports.push_reader import PushReader
from domain.identity import AppId
from domain.push import Push, PushRefused, RawPush


class MemoryPushReader(PushReader):
    """A PushReader that knows pushes by their bodies. It echoes the query of a check."""

    def __init__(self) -> None:
        self.pushes: dict[bytes, Push] = {}

    def read_check(self, appid: AppId, raw: RawPush) -> str:  # noqa: ARG002  # all apps are alike
        """See PushReader."""
        return raw.query

    def read(self, appid: AppId, raw: RawPush) -> Push:  # noqa: ARG002  # as above
        """See PushReader."""
        if raw.body not in self.pushes:
            raise PushRefused("body")
        return self.pushes[raw.body]
