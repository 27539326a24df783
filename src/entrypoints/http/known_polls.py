"""The polls of /oauth2/token that this process has answered before."""

from cachetools import TTLCache

from application.polls import Poller
from application.scans import Scans
from domain.device_grant import LIFETIME, DeviceCode, PollRefusal
from entrypoints.http.raw import RawHeaders

MAX_BYTES = 1024
"""The credentials and the body of a poll have about 300 bytes. Longer polls are left to the framework."""

MAX_KNOWN = 20_000
"""The number of requests that are known. Beyond it, the least recently used one is forgotten, and learned again."""


class KnownPolls:
    """The requests that were answered with authorization_pending, and whose polls they are.

    They contain secrets. They stop matching LIFETIME after they were remembered, and leave memory at the next one.
    """

    def __init__(self, limit: int = MAX_KNOWN) -> None:
        self._pollers: TTLCache[tuple[bytes, bytes], Poller] = TTLCache(limit, LIFETIME.total_seconds())

    def __len__(self) -> int:
        """Return how many requests are known."""
        return len(self._pollers)

    def remember(self, headers: RawHeaders, body: bytes, client_id: str, code: DeviceCode) -> None:
        """Know this request from now on."""
        credentials = _credentials(headers)
        if len(credentials) + len(body) <= MAX_BYTES:
            self._pollers[credentials, body] = (client_id, code)

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
