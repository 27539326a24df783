"""`wechat-sandbox`, and `wxlogin sandbox`."""

import signal
import socket
import sys
from ipaddress import ip_address
from pathlib import Path

import rich_click as click

MISCONFIGURED = 5
"""The exit status when the address cannot be used."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--host", default="127.0.0.1", show_default=True, help="With another one, others may use the controls.")
@click.option("--port", default=8001, show_default=True, type=click.IntRange(0, 65535))
@click.option("--app", "apps", multiple=True, metavar="APPID:SECRET", help="Accept this app and no other; repeatable.")
def sandbox(host: str, port: int, apps: tuple[str, ...]) -> None:
    """Run a stand-in for api.weixin.qq.com, for any SDK.

    It accepts every appid, with any AppSecret of 32 hex digits; with --app only the given appids, each with its
    secret. Open /sandbox in a browser for a page that makes codes.
    """
    import uvicorn

    from wechat_sandbox.app import create_sandbox

    if wrong := [app for app in apps if not all(app.partition(":"))]:
        raise click.BadParameter(f"{wrong[0]!r} is not APPID:SECRET", param_hint="--app")
    listener = _listen(host, port)
    url = _url(listener)
    click.echo(f"WeChat sandbox at {url}; get a code: POST {url}/sandbox/codes or open {url}/sandbox", err=True)
    for number in (signal.SIGINT, signal.SIGTERM):  # uvicorn raises them again when it has stopped
        signal.signal(number, lambda _number, _frame: None)
    given = dict(app.split(":", 1) for app in apps)
    app = create_sandbox(given, any_host=not _is_loopback(host))  # others ask by names that are not known here
    config = uvicorn.Config(app, http="h11", ws="none", log_config=None, access_log=False)
    uvicorn.Server(config).run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    """Return a listening socket, or exit with MISCONFIGURED."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        program = Path(sys.argv[0]).name
        click.echo(f"{program}: Cannot listen on {host}:{port} ({error}).\n  hint: choose another --port", err=True)
        sys.exit(MISCONFIGURED)


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
