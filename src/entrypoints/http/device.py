"""/oauth2/device_authorization and what it names: the picture, and a page for people (RFC 8628)."""

import msgspec
from litestar import MediaType, Response, Router, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.exceptions import ClientException
from litestar.openapi import ResponseSpec
from litestar.params import FromPath, URLEncodedBody

from application.scans import Scans
from domain.device import Device
from domain.device_grant import INTERVAL, LIFETIME
from domain.errors import AppMisconfigured, AppUnknown, NotFound, StoreUnavailable
from entrypoints.http.contract import CLIENT, PLATFORM_ERRORS, problems
from entrypoints.http.dependencies import USER_AGENT_LENGTH, network_of_address, runtime_of
from entrypoints.http.oauth import Client, oauth_router
from entrypoints.http.oauth_errors import refusals
from entrypoints.log import log
from entrypoints.responses import SecretStruct

PICTURE_SUFFIX = ".jpg"

PNG = b"\x89PNG"

PAGE = """<!doctype html>
<html lang="zh-CN">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>扫码登录 · Scan to log in</title>
<h1>用微信扫码登录</h1>
<p>请打开微信“扫一扫”，扫描网页上显示的小程序码，核对是哪个网站在请求登录，再选择允许或拒绝。
<p>如果小程序码是别人发给您的，请不要扫描：允许之后，对方就能以您的身份登录。
<section lang="en">
<h1>Log in by scanning with WeChat</h1>
<p>Scan the code on the website with WeChat, check which website asks, and approve or refuse.
<p>Do not scan a code that somebody sent to you: if you approve, they are logged in as you.
</section>
</html>
"""

PAGE_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


class DeviceAuthorizationForm(msgspec.Struct, frozen=True):
    """The browser, as the website describes it. `appid` is needed if several apps are configured."""

    appid: str | None = None
    user_agent: str | None = None
    ip: str | None = None


class DeviceAuthorization(SecretStruct, frozen=True, omit_defaults=True):
    """A scan that waits for its user (RFC 8628 section 3.2).

    `wxacode` is the address of the picture to show, and `match_number` the number to show beside it. The device code
    stays on the server.
    """

    device_code: str
    user_code: str
    verification_uri: str
    expires_in: int
    interval: int
    wxacode: str
    match_number: str | None = None


@post(
    "/device_authorization",
    status_code=200,
    security=CLIENT,
    responses=refusals(
        {
            400: "invalid_request",
            401: "invalid_client",
            429: "invalid_client, temporarily_unavailable",
            500: "server_error",
        }
    ),
)
async def authorize_device(
    data: URLEncodedBody[DeviceAuthorizationForm],
    client: NamedDependency[Client],
    scans: NamedDependency[Scans],
    state: State,
) -> DeviceAuthorization:
    """Start a scan. Show `wxacode` and `match_number` in the browser, and poll /oauth2/token with the device code."""
    base = f"{_issuer(state)}/oauth2/device"
    if not (user_agent := data.user_agent or "").isprintable():
        raise ClientException("user_agent must have printable characters only")
    browser = Device(user_agent[:USER_AGENT_LENGTH] or None, data.ip or None)
    network = _network_of(browser.ip) if browser.ip else None
    try:
        scan = await scans.start(client.id, browser, data.appid, apps=client.apps, network=network)
    except AppUnknown as error:
        raise ClientException(error.detail) from error
    grant = scan.grant
    log.info("scan_started", client=client.id, appid=grant.appid.value, ip=browser.ip)
    return DeviceAuthorization(
        device_code=str(scan.code),
        user_code=scan.user_code,
        verification_uri=base,
        expires_in=int(LIFETIME.total_seconds()),
        interval=int(INTERVAL.total_seconds()),
        wxacode=f"{base}/{grant.scene}{PICTURE_SUFFIX}",
        match_number=grant.numbers.shown if grant.numbers else None,
    )


def _network_of(address: str) -> str:
    """Return the network of a browser's address. Raises ClientException.

    A zone (`fe80::1%eth0`, RFC 4007 section 11) names an interface of one host, and may be any text of any length.
    Without one, an address has at most the 45 characters that stores keep.
    """
    try:
        if "%" in address:
            raise ValueError("a zone")
        return network_of_address(address)
    except ValueError:
        raise ClientException("ip must be an IPv4 or IPv6 address, without a zone") from None


def _issuer(state: State) -> str:
    issuer: str | None = runtime_of(state).container.settings().issuer
    if issuer is None:
        raise AppMisconfigured("WXLOGIN_ISSUER is missing: a scan needs the public address of its picture")
    return issuer


@get(
    "/device/{picture:str}",
    responses={
        200: ResponseSpec(bytes, description="The mini-program code", media_type="image/jpeg", generate_examples=False),
        **problems(NotFound, StoreUnavailable, *PLATFORM_ERRORS),
    },
)
async def show_picture(picture: FromPath[str], scans: NamedDependency[Scans]) -> Response[bytes]:
    """Return the mini-program code of a scan, `<scene>.jpg`, until the scan is answered or expires."""
    scene, suffix, rest = picture.partition(PICTURE_SUFFIX)
    if not suffix or rest:
        raise NotFound("There is no such scan")
    image, seconds_left = await scans.picture(scene)
    media_type = "image/png" if image.startswith(PNG) else "image/jpeg"
    return Response(image, media_type=media_type, headers={"cache-control": f"private, max-age={seconds_left}"})


@get("/device", sync_to_thread=False, media_type=MediaType.HTML)
def show_page() -> Response[str]:
    """Tell people to scan the code (the `verification_uri` of RFC 8628)."""
    return Response(PAGE, headers={"content-security-policy": PAGE_POLICY}, media_type=MediaType.HTML)


router = oauth_router(authorize_device)

public_router = Router("/oauth2", tags=["OAuth"], route_handlers=[show_page, show_picture])
"""Routes without credentials. Their errors are problems."""
