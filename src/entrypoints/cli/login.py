"""`wxlogin login`."""

import rich_click as click


@click.command()
@click.argument("code")
@click.option("--appid", help="The mini-program, when several are configured.")
def login(code: str, appid: str | None) -> None:
    """Log in with a CODE of wx.login() and print the response body of POST /v1/sessions."""
    from application.login import LoginRequest
    from entrypoints.cli.running import run, show
    from entrypoints.responses import LoginResponse

    logged_in = run(lambda container: container.instrumented_login()(LoginRequest(code, appid)))
    show(LoginResponse.of(logged_in))
