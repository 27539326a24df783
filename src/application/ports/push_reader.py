"""Read what WeChat pushes."""

from abc import abstractmethod
from typing import Protocol

from domain.identity import AppId
from domain.push import Push, RawPush


class PushReader(Protocol):
    """Checks that WeChat sent a push, and reads it.

    Every method raises PushRefused for whatever is wrong with it, and NotFound for an app without push.
    """

    @abstractmethod
    def read_check(self, appid: AppId, raw: RawPush) -> str:
        """Return what the answer to WeChat's check of the address must be."""

    @abstractmethod
    def read(self, appid: AppId, raw: RawPush) -> Push:
        """Return the event in the push."""
