"""`wxlogin demo` and `wxlogin sandbox`: the commands that need the sandbox."""

import signal

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


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="With another one, others may use the controls.")
@click.option("--port", default=8001, show_default=True, type=click.IntRange(0, 65535))
@click.option("--app", "apps", multiple=True, metavar="APPID:SECRET", help="Accept this app and no other; repeatable.")
def sandbox(host: str, port: int, apps: tuple[str, ...]) -> None:
    """Run a stand-in for api.weixin.qq.com, for WXLOGIN_WECHAT_URL and for any SDK.

    It accepts every appid, with any AppSecret of 32 hex digits; with --app only the given appids, each with its
    secret. Open /sandbox in a browser for a page that makes codes.
    """
    import uvicorn

    from entrypoints.cli.running import exit_statuses
    from entrypoints.http.listener import Listener
    from entrypoints.sandbox.app import create_sandbox
    from entrypoints.setting_types import is_loopback

    if wrong := [app for app in apps if not all(app.partition(":"))]:
        raise click.BadParameter(f"{wrong[0]!r} is not APPID:SECRET", param_hint="--app")
    with exit_statuses():
        listener = Listener.open(host, port)
        listener.listen()
        address = listener.url
        click.echo(
            f"WeChat sandbox at {address}; get a code: POST {address}/sandbox/codes or open {address}/sandbox", err=True
        )
        for number in (signal.SIGINT, signal.SIGTERM):  # uvicorn raises them again when it has stopped
            signal.signal(number, lambda _number, _frame: None)
        given = dict(app.split(":", 1) for app in apps)
        app = create_sandbox(given, any_host=not is_loopback(host))  # others ask by names that are not known here
        config = uvicorn.Config(app, http="h11", ws="none", log_config=None, access_log=False)
        uvicorn.Server(config).run(sockets=[listener.socket])
