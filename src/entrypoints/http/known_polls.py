"""The polls of /oauth2/token that this process has answered before."""

from cachetools import LRUCache

from application.polls import Poller
from application.scans import Scans
from domain.device_grant import DeviceCode, PollRefusal
from entrypoints.http.raw import RawHeaders

MAX_BODY_BYTES = 512
"""A poll has about 140 bytes. Longer bodies are left to the framework."""

MAX_KNOWN = 20_000
"""The number of requests that are known. Beyond it, the least recently used one is forgotten, and learned again."""


class KnownPolls:
    """The requests that were answered with authorization_pending, and whose polls they are."""

    def __init__(self, limit: int = MAX_KNOWN) -> None:
        self._pollers: LRUCache[tuple[bytes, bytes], Poller] = LRUCache(limit)

    def __len__(self) -> int:
        """Return how many requests are known."""
        return len(self._pollers)

    def remember(self, headers: RawHeaders, body: bytes, client_id: str, code: DeviceCode) -> None:
        """Know this request from now on."""
        if len(body) <= MAX_BODY_BYTES:
            self._pollers[_credentials(headers), body] = (client_id, code)

    def refuse(self, headers: RawHeaders, body: bytes, scans: Scans) -> PollRefusal | None:
        """Return why the poll gets no session; None if the framework has to answer."""
        request = (_credentials(headers), body)
        poller = self._pollers.get(request)
        if poller is None:
            return None
        refusal = scans.refuse_from_memory(*poller)
        if refusal is None:
            del self._pollers[request]  # learned again if it is pending still
        return refusal


def _credentials(headers: RawHeaders) -> bytes:
    return b"\n".join(value for name, value in headers if name in (b"authorization", b"content-type"))
