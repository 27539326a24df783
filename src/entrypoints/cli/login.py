"""`wxlogin login`."""

import rich_click as click


@click.command()
@click.argument("code")
@click.option("--appid", help="The mini-program, when several are configured.")
@click.option("--phone-code", help="The code of the phone button, to bind the phone number, too.")
def login(code: str, appid: str | None, phone_code: str | None) -> None:
    """Log in with a CODE of wx.login() and print the response body of POST /v1/sessions."""
    from application.login_with_phone import LoginWithPhoneRequest
    from entrypoints.cli.running import run, show
    from entrypoints.log import log_phone
    from entrypoints.responses import LoginResponse

    request = LoginWithPhoneRequest(code, appid, phone_code)
    logged_in = run(lambda container: container.login_with_phone()(request))
    log_phone(request, logged_in, "wxlogin login")
    show(LoginResponse.of(logged_in, with_phone=phone_code is not None))
