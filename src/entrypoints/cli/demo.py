"""`wxlogin demo`."""

import rich_click as click


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535))
@click.option("--once", is_flag=True, help="End after the login.")
def demo(host: str, port: int, *, once: bool) -> None:
    """Start the service with SQLite and a WeChat sandbox, log one user in, and show each step."""
    from entrypoints.cli.running import exit_statuses
    from entrypoints.demo.run import run_demo

    with exit_statuses():
        run_demo(host, port, once=once)
