"""The HTTP server: Granian, on a given socket.

Granian's HTTP implementation is hyper. See docs/decisions/0008-server.md.
"""

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.net import SocketHolder  # type: ignore[attr-defined]  # imported there, not exported
from granian.server.embed import Server
from litestar.types import ASGIApp

from entrypoints.http.listener import BACKLOG, Listener
from entrypoints.http.middleware import MAX_HEAD_BYTES, MAX_HEAD_SECONDS

LOGGING = {"handlers": {}, "incremental": True, "loggers": {"_granian": {"propagate": True}}}
"""Sends Granian's log to the handlers of the service. By default Granian configures logging anew, for stdout."""


class Engine(Server):
    """Serves `app` on `listener` until `stop` is called; then it finishes the requests in flight.

    At most `connections` are open at once; others wait until one closes. The application's lifespan is its caller's.
    """

    def __init__(self, app: ASGIApp, listener: Listener, *, connections: int) -> None:
        super().__init__(
            app,
            interface=Interfaces.ASGINL,
            http=HTTPModes.http1,
            websockets=False,
            backlog=BACKLOG,
            backpressure=connections,
            http1_settings=HTTP1Settings(
                header_read_timeout=round(MAX_HEAD_SECONDS * 1000), max_buffer_size=MAX_HEAD_BYTES, pipeline_flush=False
            ),
            log_level=LogLevels.error,
            log_dictconfig=LOGGING,
        )
        self._listener = listener

    def _init_shared_socket(self) -> None:
        """See AbstractServer. Granian would open a socket of its own in each process, and lose what waits in it."""
        self._ssp = None
        self._shd = SocketHolder(self._listener.lend(), self._listener.is_unix, BACKLOG)  # type: ignore[call-arg, assignment]  # its stub is Windows'
