"""`wxlogin admin`: the admin API, in a process that the supervisor of `wxlogin serve` runs."""

from litestar import Litestar

from entrypoints.admin.app import create_app
from entrypoints.container import OpenContainer
from entrypoints.http.dependencies import Lifecycle
from entrypoints.http.server import Service, serve
from entrypoints.settings import Settings
from entrypoints.tracing import Tracing


def _create_admin_app(
    settings: Settings, open_container: OpenContainer, lifecycle: Lifecycle, tracing: Tracing | None
) -> Litestar:
    return create_app(open_container, lifecycle, settings.trusted_proxies, tracing)


ADMIN = Service(Settings.require_admin_keys, _create_admin_app)
"""The service of operators."""


def serve_admin(host: str, port: int) -> None:
    """Serve until SIGTERM. Raises SettingsError for wrong settings, and StoreUnavailable without a database."""
    serve(host, port, 1, ADMIN)
