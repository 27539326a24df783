"""Metrics on a port of their own, of `wxlogin worker` and `wxlogin admin`.

prometheus_client's start_http_server cannot serve on a given socket, which processes share during a reload.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from threading import Thread
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app

from entrypoints.log import log
from entrypoints.metrics import Metrics
from entrypoints.settings import SettingsError

BACKLOG = 16

SCRAPE_SECONDS = 10.0
"""How long a client may take to send its request."""


def open_metrics_port(host: str, port: int) -> socket.socket:
    """Return a socket that listens for scrapes. Raises SettingsError if the address is in use or not of this machine.

    The socket does not block: several processes may accept on it, and the one that is too late must not wait.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        raise SettingsError(
            f"Cannot listen on {host}:{port} ({error}).\n  hint: choose another --metrics-port"
        ) from None
    listener.setblocking(False)
    return listener


@contextmanager
def serving_metrics(metrics: Metrics, listener: socket.socket) -> Iterator[None]:
    """Serve the metrics on the socket in a thread while the block runs, and then close the socket in this process."""
    registry = CollectorRegistry()
    registry.register(metrics)
    host, port = listener.getsockname()[:2]
    with _Server((host, port), listener, make_wsgi_app(registry)) as server:
        thread = Thread(target=server.serve_forever, name="metrics")
        thread.start()
        log.info("metrics", url=f"http://[{host}]:{port}/metrics" if ":" in host else f"http://{host}:{port}/metrics")
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


class _Handler(WSGIRequestHandler):
    """Handles a scrape, and logs nothing."""

    timeout = SCRAPE_SECONDS

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the name of the base class
        """See BaseHTTPRequestHandler."""


class _Server(ThreadingMixIn, WSGIServer):
    """Answers each scrape in a thread of its own, on a socket that listens already."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], listener: socket.socket, app: Any) -> None:
        super().__init__(address, _Handler, bind_and_activate=False)
        self.socket.close()  # one of its own, which is not bound
        self.socket = listener
        self.server_name, self.server_port = address
        self.setup_environ()
        self.set_app(app)

    def get_request(self) -> tuple[socket.socket, Any]:
        """See TCPServer. A connection blocks, although its listener does not."""
        connection, address = super().get_request()
        connection.setblocking(True)
        return connection, address
