"""`wxlogin serve`, `wxlogin admin`, `wxlogin healthcheck` and `wxlogin worker`."""

import sys

import rich_click as click


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535))
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1), help="Processes: one for each core.")
def serve(host: str, port: int, workers: int) -> None:
    """Run the service until SIGTERM or Ctrl-C. Requests in flight are finished."""
    from entrypoints.cli.running import exit_statuses
    from entrypoints.http.server import serve

    with exit_statuses():
        serve(host, port, workers)


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8002, show_default=True, type=click.IntRange(0, 65535))
@click.option("--metrics-port", type=click.IntRange(0, 65535), help="Serve metrics on this port.")
def admin(host: str, port: int, metrics_port: int | None) -> None:
    """Run the admin API until SIGTERM or Ctrl-C, for the keys in WXLOGIN_ADMIN_KEYS."""
    from entrypoints.admin.server import serve_admin
    from entrypoints.cli.running import exit_statuses

    with exit_statuses():
        serve_admin(host, port, metrics_port)


@click.command()
@click.option("--ready", is_flag=True, help="Check the database and the session store, too.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address of the service.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535))
def healthcheck(*, ready: bool, host: str, port: int) -> None:
    """Exit with 0 if the service answers, else with 4: for probes of containers, without curl."""
    from entrypoints.healthcheck import check_health

    sys.exit(check_health(host, port, "/readyz" if ready else "/healthz"))


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address of the metrics.")
@click.option("--metrics-port", type=click.IntRange(0, 65535), help="Serve metrics on this port.")
def worker(host: str, metrics_port: int | None) -> None:
    """Process jobs from the queue in WXLOGIN_REDIS_URL until SIGTERM or Ctrl-C."""
    from entrypoints.cli.running import exit_statuses
    from entrypoints.worker import work

    with exit_statuses():
        work(host, metrics_port)
