"""Scan to log in on a website, over HTTP: the website's backend, the browser's picture, and the user's phone."""

import json
import re
import secrets
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session

from support.devices import Device, problem_of
from support.drawing import JPEG, Drawing, drawing_wechat
from support.processes import APPID, SECRET, Sandbox, Service
from support.sdks.node import NODE, SCRIPTS

OTHER_APPID = "wxfedcba9876543210"
CLIENTS = {"shop": "s3cret", "cafe": "caf3", "other": {"secret": "0ther", "apps": [OTHER_APPID]}}
ISSUER = "https://id.example.com"
DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36"


@pytest.fixture(scope="module")
def wechat(sandbox: Sandbox) -> Iterator[Drawing]:
    """A WeChat that draws."""
    with drawing_wechat(sandbox) as drawing:
        yield drawing


@pytest.fixture(scope="module", params=["database", "redis"])
def provider(request: pytest.FixtureRequest, open_service: Any, wechat: Drawing) -> Iterator[Service]:
    """A service with two websites, in either store, behind a proxy that names its clients."""
    redis = {"redis_url": request.getfixturevalue("redis_url")} if request.param == "redis" else {}
    apps = json.dumps([{"appid": OTHER_APPID, "secret": SECRET}])
    settings = {"issuer": ISSUER, "clients": json.dumps(CLIENTS), "apps": apps, "wechat_url": wechat.url, **redis}
    with open_service(trusted_proxies="127.0.0.1", sessions_per_user="0", **settings) as running:
        yield running


@pytest.fixture(autouse=True)
def draw_at_once(wechat: Drawing) -> None:
    """Let WeChat draw at once."""
    wechat.errcode, wechat.seconds = 0, 0.0


@pytest.fixture
def phone(provider: Service, sandbox: Sandbox) -> Device:
    """The phone of a new user, at an address of its own."""
    return new_phone(provider, sandbox)


def new_phone(provider: Service, sandbox: Sandbox, appid: str = APPID) -> Device:
    """Log a new user in."""
    provider.http.headers["X-Forwarded-For"] = f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::1"
    referer = f"https://servicewechat.com/{appid}/1/page-frame.html"
    return Device(provider, sandbox.code(appid), referer=referer)


def start(provider: Service, auth: Any = ("shop", "s3cret"), **form: str) -> httpx2.Response:
    """Start a scan as a website's backend."""
    return provider.http.post("/oauth2/device_authorization", auth=auth, data={"appid": APPID, **form})


def scene_of(scan: dict[str, Any]) -> str:
    """Return the scene in the address of the picture."""
    found = re.fullmatch(f"{ISSUER}/oauth2/device/([A-Za-z0-9_-]{{22}})\\.jpg", scan["wxacode"])
    assert found
    return found[1]


def poll(provider: Service, scan: dict[str, Any], auth: Any = ("shop", "s3cret"), **form: str) -> httpx2.Response:
    """Poll as a website's backend."""
    form = {"grant_type": DEVICE_CODE, "device_code": scan["device_code"], **form}
    return provider.http.post("/oauth2/token", auth=auth, data=form)


def look(phone: Device, scan: dict[str, Any]) -> httpx2.Response:
    """Look at a scan on a phone."""
    return phone.send("GET", f"/v1/scans/{scene_of(scan)}")


def answer(phone: Device, scan: dict[str, Any], **body: Any) -> httpx2.Response:
    """Answer a scan on a phone."""
    return phone.send("POST", f"/v1/scans/{scene_of(scan)}", json=body)


def approve(phone: Device, scan: dict[str, Any]) -> None:
    """Look at a scan, and approve it with the number of the website."""
    look(phone, scan).raise_for_status()
    assert answer(phone, scan, approve=True, match_number=scan["match_number"]).status_code == 204


def redeem(provider: Service, scan: dict[str, Any]) -> dict[str, Any]:
    """Poll once, and return the token."""
    body: dict[str, Any] = poll(provider, scan).raise_for_status().json()
    return body


def error_of(answer: httpx2.Response) -> tuple[int, str]:
    """Return the status and the error of OAuth."""
    assert answer.headers["cache-control"] == "no-store"
    return answer.status_code, answer.json()["error"]


def test_a_website_logs_a_user_in(provider: Service, phone: Device, wechat: Drawing) -> None:
    """The whole flow, with each field of its answers; the website's session works, and is in the list of devices."""
    scan = start(provider, user_agent=CHROME, ip="203.0.113.7").json()
    picture = provider.http.get(scan["wxacode"].removeprefix(ISSUER))
    shown = look(phone, scan).json()
    approved = answer(phone, scan, approve=True, match_number=scan["match_number"])
    token = redeem(provider, scan)
    bearer = {"Authorization": f"Bearer {token['access_token']}"}
    website = provider.http.get("/v1/sessions/current", headers=bearer).json()
    devices = {each["id"]: each for each in phone.sessions()}

    fields = ("device_code", "user_code", "verification_uri", "expires_in", "interval", "wxacode", "match_number")
    assert list(scan) == [*fields]
    assert (scan["verification_uri"], scan["expires_in"], scan["interval"]) == (f"{ISSUER}/oauth2/device", 120, 2)
    assert (picture.status_code, picture.headers["content-type"]) == (200, "image/jpeg")
    assert picture.content.startswith(JPEG + scene_of(scan).encode())
    assert re.fullmatch(r"private, max-age=1(19|20)", picture.headers["cache-control"])
    assert list(shown) == ["client", "user_agent", "ip", "created_at", "expires_at", "match_numbers"]
    assert (shown["client"], shown["user_agent"], shown["ip"]) == ("shop", "Windows · Chrome 140", "203.0.113.7")
    assert scan["match_number"] in shown["match_numbers"]
    assert len(set(shown["match_numbers"])) == 3
    assert (approved.status_code, approved.content) == (204, b"")
    assert list(token) == ["access_token", "token_type", "expires_in"]
    assert (token["token_type"], token["expires_in"]) == ("Bearer", 604800)
    assert (devices[website["id"]]["device"], devices[website["id"]]["ip"]) == ("Windows · Chrome 140", "203.0.113.7")
    assert provider.auth(token["access_token"]).headers["x-user-id"] == phone.login["user"]["id"]


def test_authlib_completes_the_flow(provider: Service, phone: Device) -> None:
    """Authlib, unmodified, reads authorization_pending of one scan, and gets the token of another one, once."""
    url = f"{provider.url}/oauth2/token"
    waiting, approved = start(provider).json(), start(provider).json()
    approve(phone, approved)
    with OAuth2Session("shop", "s3cret") as backend:
        backend.trust_env = False
        with pytest.raises(OAuthError) as pending:
            backend.fetch_token(url, grant_type=DEVICE_CODE, device_code=waiting["device_code"])
        token = backend.fetch_token(url, grant_type=DEVICE_CODE, device_code=approved["device_code"])
        with pytest.raises(OAuthError) as used:
            backend.fetch_token(url, grant_type=DEVICE_CODE, device_code=approved["device_code"])

    assert (pending.value.error, used.value.error) == ("authorization_pending", "invalid_grant")
    assert provider.auth(token["access_token"]).status_code == 204


@pytest.mark.parametrize("is_approved", [True, False], ids=["approved", "denied"])
def test_openid_client_completes_the_flow(provider: Service, phone: Device, is_approved: bool) -> None:
    """openid-client of npm, unmodified, polls by itself while the user decides."""
    command = [str(NODE), str(SCRIPTS / "device-flow.mjs"), provider.url, "shop", "s3cret", APPID]
    with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8") as process:
        assert process.stdout
        scan = json.loads(process.stdout.readline())
        shown = look(phone, scan).json()
        body = {"approve": True, "match_number": scan["match_number"]} if is_approved else {"approve": False}
        assert answer(phone, scan, **body).status_code == 204
        outcome = json.loads(process.stdout.readline())

    assert shown["client"] == "shop"
    if is_approved:
        assert provider.auth(outcome["access_token"]).status_code == 204
    else:
        assert outcome == {"error": "access_denied"}


def test_a_refusal_is_access_denied(provider: Service, phone: Device) -> None:
    """A refusal ends the scan for the website and for the phone."""
    scan = start(provider).json()
    look(phone, scan)
    refused = answer(phone, scan, approve=False)

    assert refused.status_code == 204
    assert problem_of(look(phone, scan)) == (404, "not_found", "never")
    assert error_of(poll(provider, scan)) == (400, "access_denied")


def test_a_wrong_number_denies(provider: Service, phone: Device) -> None:
    """A wrong number is taken as an answer, and there is no second try: the website shows that it was refused."""
    scan = start(provider).json()
    numbers = look(phone, scan).json()["match_numbers"]
    wrong = next(number for number in numbers if number != scan["match_number"])
    answers = [answer(phone, scan, approve=True, match_number=each) for each in (wrong, scan["match_number"])]

    assert answers[0].status_code == 204
    assert problem_of(answers[1])[:2] == (404, "not_found")
    assert error_of(poll(provider, scan)) == (400, "access_denied")


def test_the_first_viewer_is_the_only_one(provider: Service, sandbox: Sandbox, phone: Device) -> None:
    """After one user's look, another user neither sees nor answers the scan, and the first one still does."""
    scan, other = start(provider).json(), new_phone(provider, sandbox)
    look(phone, scan).raise_for_status()
    refused = [look(other, scan), answer(other, scan, approve=True, match_number=scan["match_number"])]
    approve(phone, scan)

    assert [problem_of(each) for each in refused] == [(404, "not_found", "never")] * 2
    assert provider.auth(redeem(provider, scan)["access_token"]).status_code == 204


def test_all_that_is_not_found_looks_alike(provider: Service, sandbox: Sandbox, phone: Device) -> None:
    """Unknown, foreign, refused and redeemed scans have the same answer, to looks and to answers."""
    other = new_phone(provider, sandbox)
    other_app = start(provider, ("other", "0ther"), appid=OTHER_APPID).json()
    foreign, refused, redeemed = (start(provider).json() for _ in range(3))
    look(other, foreign)
    look(phone, refused)
    answer(phone, refused, approve=False)
    approve(phone, redeemed)
    redeem(provider, redeemed)
    unknown = {"wxacode": f"{ISSUER}/oauth2/device/{'x' * 22}.jpg"}
    scans = [unknown, foreign, other_app, refused, redeemed]
    answers = [call for scan in scans for call in (look(phone, scan), answer(phone, scan, approve=False))]

    assert {(each.status_code, each.content) for each in answers} == {(404, answers[0].content)}


ANY_BYTES = [
    "x",
    "x" * 23,
    "%00" * 22,
    "%ff" * 22,
    "%E6%89%AB" * 22,
    "..%2f..%2fsessions",
    "%ed%a0%80" * 22,
    "x" * 5000,
]


@pytest.mark.parametrize("scene", ANY_BYTES, ids=range(len(ANY_BYTES)))
def test_a_scene_of_any_bytes_is_not_found(provider: Service, phone: Device, scene: str) -> None:
    """Scenes of any bytes are not found, as scans and as pictures; some are no scenes but other paths."""
    calls = [("GET", f"/v1/scans/{scene}"), ("GET", f"/oauth2/device/{scene}.jpg"), ("GET", f"/oauth2/device/{scene}")]
    answers = [phone.send(method, path) for method, path in calls]
    answers.append(phone.send("POST", f"/v1/scans/{scene}", json={"approve": True, "match_number": "42"}))

    assert {each.status_code for each in answers} == {404}


@pytest.mark.parametrize(
    "body",
    [{}, {"approve": "yes"}, {"approve": None}, {"approve": True, "match_number": 42}, [], "x", {"match_number": "42"}],
)
def test_a_malformed_answer_changes_nothing(provider: Service, phone: Device, body: Any) -> None:
    """A malformed answer, and an approval without a number, are request_invalid, and the user can still answer."""
    scan = start(provider).json()
    look(phone, scan)
    answers = [phone.send("POST", f"/v1/scans/{scene_of(scan)}", json=each) for each in (body, {"approve": True})]

    assert [problem_of(each)[:2] for each in answers] == [(400, "request_invalid")] * 2
    assert answer(phone, scan, approve=True, match_number=scan["match_number"]).status_code == 204


def test_scans_need_a_session(provider: Service) -> None:
    """Without a token nobody looks or answers, and a client's credentials are none."""
    scan = start(provider).json()
    path = f"/v1/scans/{scene_of(scan)}"
    answers = [
        provider.http.get(path),
        provider.http.post(path, json={"approve": True}),
        provider.http.get(path, auth=("shop", "s3cret")),
    ]

    assert [problem_of(each)[:2] for each in answers] == [(401, "token_missing")] * 3


def test_guesses_end_in_rate_limited(provider: Service, phone: Device) -> None:
    """A user who guesses scenes is rate_limited after thirty, with the time to wait."""
    answers = [phone.send("GET", f"/v1/scans/{secrets.token_urlsafe(16)}") for _ in range(40)]
    codes = [problem_of(each)[:2] for each in answers]

    assert codes[:30] == [(404, "not_found")] * 30
    assert codes.count((429, "rate_limited")) >= 5
    assert int(answers[-1].headers["retry-after"]) >= 1


def test_a_poll_says_that_the_code_was_scanned(provider: Service, phone: Device) -> None:
    """`scanned` is false before the first look and true after it. Nothing else changes, and no user is named."""
    new, scanned = start(provider).json(), start(provider).json()
    look(phone, scanned).raise_for_status()
    before, after = poll(provider, new), poll(provider, scanned)

    assert error_of(before) == error_of(after) == (400, "authorization_pending")
    assert list(after.json()) == ["error", "error_description", "scanned"]
    assert (before.json()["scanned"], after.json()["scanned"]) == (False, True)
    assert phone.login["user"]["id"] not in after.text


def test_a_poll_below_the_endpoint_is_not_found(provider: Service) -> None:
    """The bytes of a known poll are nothing below the endpoint: the path is unknown."""
    scan = start(provider).json()
    first = error_of(poll(provider, scan))
    form = {"grant_type": DEVICE_CODE, "device_code": scan["device_code"]}
    below = provider.http.post("/oauth2/token/x", auth=("shop", "s3cret"), data=form)
    again = error_of(poll(provider, scan))

    assert first == (400, "authorization_pending")
    assert below.status_code == 404
    assert again == (400, "slow_down")


def test_an_early_poll_is_slow_down(provider: Service) -> None:
    """A second poll at once is slow_down, and so is the next one: the interval has grown."""
    scan = start(provider).json()

    assert error_of(poll(provider, scan)) == (400, "authorization_pending")
    assert [error_of(poll(provider, scan)) for _ in range(2)] == [(400, "slow_down")] * 2


def test_a_poll_has_the_same_response_before_the_framework(provider: Service) -> None:
    """A repeated poll, which the framework does not see, has the headers of the first one, and is counted as it is."""
    scan = start(provider).json()
    first, again, other_body = poll(provider, scan), poll(provider, scan), poll(provider, scan, more="x" * 600)
    metrics = provider.http.get("/metrics").text
    counted = re.search(
        r'wxlogin_http_requests_total\{[^}]*route="/oauth2/token"[^}]*status="400"[^}]*\} (\d+)', metrics
    )

    assert set(first.headers) == set(again.headers)
    assert {**first.headers, "content-length": "", "x-request-id": "", "date": ""} == {
        **again.headers,
        "content-length": "",
        "x-request-id": "",
        "date": "",
    }
    assert list(first.json()) == ["error", "error_description", "scanned"]
    assert list(again.json()) == ["error", "error_description"]
    assert error_of(again) == error_of(other_body) == (400, "slow_down")
    assert counted
    assert int(counted[1]) >= 3


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_only_post_polls(provider: Service, method: str) -> None:
    """The bytes of a known poll with another method are refused."""
    scan = start(provider).json()
    sent = poll(provider, scan).request
    refused = provider.http.request(method, "/oauth2/token", content=sent.content, headers=dict(sent.headers))

    assert refused.status_code == 405


def test_a_known_poll_needs_its_own_credentials(provider: Service) -> None:
    """The body of a known poll with other credentials, or none, is invalid_client, or of another client."""
    scan = start(provider).json()
    poll(provider, scan)

    assert error_of(poll(provider, scan, None)) == (401, "invalid_client")
    assert error_of(poll(provider, scan, ("shop", "wrong"))) == (401, "invalid_client")
    assert error_of(poll(provider, scan, ("cafe", "caf3"))) == (400, "invalid_grant")


def test_a_scan_is_of_one_client(provider: Service, phone: Device) -> None:
    """Another client's poll, and the user code or the scene in place of the device code, get nothing."""
    scan = start(provider).json()
    approve(phone, scan)
    wrong = [
        poll(provider, scan, ("cafe", "caf3")),
        *(poll(provider, scan, device_code=code) for code in (scan["user_code"], scene_of(scan), "x" * 65, "令牌")),
    ]

    assert [error_of(each) for each in wrong] == [(400, "invalid_grant")] * 5
    assert redeem(provider, scan)["access_token"]


BAD_POLLS = {
    "no grant type": ({"device_code": "x"}, "invalid_request"),
    "another grant type": ({"grant_type": "password"}, "unsupported_grant_type"),
    "no device code": ({"grant_type": DEVICE_CODE}, "invalid_request"),
    "nothing": ({}, "invalid_request"),
}


@pytest.mark.parametrize(("form", "error"), BAD_POLLS.values(), ids=BAD_POLLS)
def test_a_malformed_poll_is_refused(provider: Service, form: dict[str, str], error: str) -> None:
    """A request for a token that is malformed has the error of RFC 6749."""
    assert error_of(provider.http.post("/oauth2/token", auth=("shop", "s3cret"), data=form)) == (400, error)


@pytest.mark.parametrize("auth", [None, ("shop", "wrong"), ("nobody", "s3cret")], ids=str)
def test_only_a_client_starts_and_polls(provider: Service, phone: Device, auth: Any) -> None:
    """Without valid credentials both routes are invalid_client, with a challenge."""
    scan = start(provider).json()
    for refused in (start(provider, auth), poll(provider, scan, auth)):
        assert error_of(refused) == (401, "invalid_client")
        assert refused.headers["www-authenticate"].startswith("Basic ")


@pytest.mark.parametrize(
    "form",
    [
        {"appid": ""},
        {"appid": "wx9"},
        {"appid": OTHER_APPID + "\x00"},
        {"ip": "somewhere"},
        {"ip": "10.0.0.1/8"},
        {"user_agent": "a\x00b"},
    ],
    ids=str,
)
def test_a_malformed_start_is_refused(provider: Service, form: dict[str, str]) -> None:
    """An unknown app, an address that is none and a control character are invalid_request."""
    assert error_of(start(provider, **form)) == (400, "invalid_request")


def test_a_client_starts_scans_of_its_apps(provider: Service) -> None:
    """A client with `apps` needs to name none if it has one, and gets no other one."""
    own = provider.http.post("/oauth2/device_authorization", auth=("other", "0ther"))

    assert own.status_code == 200
    assert error_of(start(provider, ("other", "0ther"))) == (400, "invalid_request")


def test_open_scans_of_an_address_are_limited(provider: Service) -> None:
    """A browser's network starts sixty scans; then it is 429, with the time to wait. Another one is not limited."""
    ip = f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::"
    admitted = [start(provider, ip=f"{ip}{number}") for number in range(1, 61)]
    limited = next(answer for number in range(61, 1000) if (answer := start(provider, ip=f"{ip}{number}")).is_error)

    assert [each.status_code for each in admitted] == [200] * 60
    assert error_of(limited) == (429, "temporarily_unavailable")
    assert int(limited.headers["retry-after"]) >= 1
    assert start(provider, ip="2001:db9::1").status_code == 200


def test_a_picture_is_drawn_once(provider: Service, wechat: Drawing) -> None:
    """A picture that is asked for a thousand times, also while it is drawn, is one call to WeChat."""
    scan = start(provider).json()
    wechat.seconds = 0.3
    path = scan["wxacode"].removeprefix(ISSUER)
    with ThreadPoolExecutor(20) as pool:
        pictures = list(pool.map(lambda _: provider.http.get(path).content, range(1000)))

    assert {picture[: len(JPEG) + 22] for picture in pictures} == {JPEG + scene_of(scan).encode()}
    assert [call["scene"] for call in wechat.calls if call["scene"] == scene_of(scan)] == [scene_of(scan)]


def test_wechats_refusal_is_a_problem(provider: Service, wechat: Drawing) -> None:
    """45009 is rate_limited, and 41030 is app_misconfigured, whose text for operators is in the log alone."""
    for errcode, status, code in ((45009, 429, "rate_limited"), (41030, 500, "app_misconfigured")):
        wechat.errcode = errcode
        refused = provider.http.get(start(provider).json()["wxacode"].removeprefix(ISSUER))

        assert problem_of(refused)[:2] == (status, code)
        assert refused.json()["errcode"] == errcode
        assert "SCAN_PAGE" not in refused.text
    assert "WXLOGIN_SCAN_PAGE" in provider.process.event("app_misconfigured")["detail"]


def test_the_page_for_people_is_static(provider: Service) -> None:
    """verification_uri tells people in Chinese and English what to do, and may load nothing."""
    page = provider.http.get("/oauth2/device")

    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "用微信扫码登录" in page.text
    assert "Log in by scanning" in page.text
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert not re.search("<(script|img|link|form|style)", page.text)


def test_no_secret_is_logged(provider: Service, phone: Device) -> None:
    """The log has who started, approved and redeemed a scan, and neither code nor scene nor token."""
    scan = start(provider, ip="203.0.113.9").json()
    approve(phone, scan)
    token = redeem(provider, scan)
    provider.process.event("scan_redeemed")
    lines = provider.process.text()

    assert {"scan_started", "scan_approved", "scan_redeemed"} <= {
        each.get("event") for each in provider.process.events()
    }
    for secret in (
        scan["device_code"],
        scan["device_code"][22:],
        scene_of(scan),
        token["access_token"],
        scan["user_code"],
    ):
        assert secret not in lines


def test_without_an_issuer_no_scan_starts(open_service: Any) -> None:
    """Without WXLOGIN_ISSUER a scan is a server_error, and the log names the setting."""
    with open_service(clients='{"shop":"s3cret"}') as service:
        refused = start(service)

        assert error_of(refused) == (500, "server_error")
        assert "WXLOGIN_ISSUER is missing" in service.process.event("app_misconfigured")["detail"]


def test_without_numbers_none_is_shown(open_service: Any, wechat: Drawing, sandbox: Sandbox) -> None:
    """With numbers off there is none to show and none to pick, and the page and version of the settings are drawn."""
    settings = {
        "issuer": ISSUER,
        "scan_match_number": "false",
        "scan_page": "pages/me/scan",
        "scan_env_version": "trial",
    }
    with open_service(clients='{"shop":"s3cret"}', wechat_url=wechat.url, **settings) as service:
        scan, phone = start(service).json(), Device(service, sandbox.code())
        service.http.get(scan["wxacode"].removeprefix(ISSUER)).raise_for_status()
        shown = look(phone, scan).json()
        approved = answer(phone, scan, approve=True)

        assert "match_number" not in scan
        assert (shown["match_numbers"], approved.status_code) == ([], 204)
        assert redeem(service, scan)["access_token"]
    drawn = wechat.calls[-1]
    assert (drawn["page"], drawn["env_version"], drawn["check_path"]) == ("pages/me/scan", "trial", False)


def test_a_log_out_everywhere_withdraws_an_approval(provider: Service, phone: Device) -> None:
    """A user who logs out everywhere after the approval is not logged in on the website by the next poll."""
    scan = start(provider).json()
    approve(phone, scan)
    phone.send("DELETE", "/v1/sessions").raise_for_status()

    assert error_of(poll(provider, scan)) == (400, "access_denied")
