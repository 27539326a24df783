"""`wxlogin admin`: the admin API, in a process that the supervisor of `wxlogin serve` runs."""

import socket
from functools import partial

from litestar import Litestar

from entrypoints.admin.app import create_app
from entrypoints.container import OpenContainer
from entrypoints.http.dependencies import Lifecycle
from entrypoints.http.server import Service, serve
from entrypoints.metrics_port import open_metrics_port
from entrypoints.settings import Settings
from entrypoints.tracing import Tracing


def serve_admin(host: str, port: int, metrics_port: int | None) -> None:
    """Serve until SIGTERM. Serve metrics on a port of their own, if given.

    Raises SettingsError for wrong settings, and StoreUnavailable without a database.
    """
    listener = None if metrics_port is None else open_metrics_port(host, metrics_port)
    serve(host, port, 1, Service(Settings.require_admin_keys, partial(_create_admin_app, metrics_listener=listener)))


def _create_admin_app(
    settings: Settings,
    open_container: OpenContainer,
    lifecycle: Lifecycle,
    tracing: Tracing | None,
    *,
    metrics_listener: socket.socket | None,
) -> Litestar:
    return create_app(open_container, lifecycle, settings.trusted_proxies, tracing, metrics_listener)
