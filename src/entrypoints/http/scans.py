"""/v1/scans: the request of a website, and the user's answer, on the phone."""

from datetime import datetime
from typing import Self

import msgspec
from litestar import Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from application.scans import Scans
from domain.device_grant import DeviceGrant, GrantState
from domain.errors import RateLimited, RequestInvalid
from domain.session import Session
from entrypoints.http.contract import signed_in
from entrypoints.http.dependencies import CallerRequest, cause_of, network_of
from entrypoints.log import log_session


class ScanResponse(msgspec.Struct, frozen=True):
    """The request of a website. `client` is its name in WXLOGIN_CLIENTS, and `ip` the address that it sent.

    `user_agent` is the browser's software, as far as it is recognized: the sender cannot write a sentence in it.
    `match_numbers` has the number that the website shows, among others; it is empty if numbers are off.
    """

    client: str
    user_agent: str | None
    ip: str | None
    created_at: datetime
    expires_at: datetime
    match_numbers: list[str]

    @classmethod
    def of(cls, grant: DeviceGrant) -> Self:
        """Return the body for `grant`."""
        numbers = list(grant.numbers.choices) if grant.numbers else []
        browser = grant.browser
        return cls(grant.client_id, browser.software, browser.ip, grant.created_at, grant.expires_at, numbers)


class ScanAnswer(msgspec.Struct, frozen=True):
    """The user's answer. `match_number` is the number that the user picked."""

    approve: bool
    match_number: str | None = None


@get("/{scene:str}", **signed_in(RateLimited))
async def show_scan(
    request: CallerRequest, scene: FromPath[str], session: NamedDependency[Session], scans: NamedDependency[Scans]
) -> ScanResponse:
    """Return which website asks, and from where. Only the first user who looks can look again, and answer."""
    return ScanResponse.of(await scans.look(session, scene, network_of(request.scope)))


@post("/{scene:str}", status_code=204, **signed_in(RequestInvalid, RateLimited))
async def answer_scan(
    request: CallerRequest,
    scene: FromPath[str],
    data: JSONBody[ScanAnswer],
    session: NamedDependency[Session],
    scans: NamedDependency[Scans],
) -> None:
    """Approve or deny, once, after a look. A wrong number denies: the website shows what happened."""
    network = network_of(request.scope)
    cause = cause_of(request.scope)
    answered = await scans.answer(session, scene, data.match_number, network, cause, approve=data.approve)
    fields = {"client": answered.client_id, "ip": cause.ip}
    if answered.state is GrantState.APPROVED:
        log_session("scan_approved", session, **fields)
    else:
        log_session("scan_denied", session, **fields)


router = Router("/v1/scans", tags=["Scans"], route_handlers=[show_scan, answer_scan])
