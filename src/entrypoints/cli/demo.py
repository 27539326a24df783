"""`wxlogin demo`."""

import rich_click as click


@click.command()
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535))
@click.option("--once", is_flag=True, help="End after the login.")
def demo(port: int, once: bool) -> None:
    """Start the service with SQLite and a WeChat sandbox, log one user in, and show each step."""
    from entrypoints.cli.running import exit_statuses
    from entrypoints.demo import run_demo

    with exit_statuses():
        run_demo(port, once=once)
