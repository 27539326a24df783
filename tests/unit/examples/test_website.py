"""How the website of examples/website asks wxlogin for a decision."""

import importlib.util
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

import httpx2
import pytest
from fastapi import HTTPException, Response

from support.pages import ROOT

pytestmark = pytest.mark.anyio

PENDING = httpx2.Response(400, json={"error": "authorization_pending"})


@pytest.fixture
def anyio_backend() -> str:
    """Run async tests on asyncio, as uvicorn does."""
    return "asyncio"


@pytest.fixture
def website(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The website's module, with no sessions."""
    monkeypatch.setenv("OAUTH_CLIENT_ID", "shop")
    monkeypatch.setenv("OAUTH_CLIENT_SECRET", "0123456789abcdef0123456789abcdef")
    spec = importlib.util.spec_from_file_location("website", ROOT / "examples/website/website.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def answer_with(
    website: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> Callable[[httpx2.Response], list[httpx2.Request]]:
    """A function that lets wxlogin give one answer to all requests, and returns the list of these."""

    def answer_with(answer: httpx2.Response) -> list[httpx2.Request]:
        sent: list[httpx2.Request] = []

        def handle(request: httpx2.Request) -> httpx2.Response:
            sent.append(request)
            return answer

        wxlogin = httpx2.AsyncClient(base_url="http://wxlogin", transport=httpx2.MockTransport(handle))
        monkeypatch.setattr(website, "wxlogin", wxlogin)
        return sent

    return answer_with


AnswerWith = Callable[[httpx2.Response], list[httpx2.Request]]


def code_of(website: ModuleType, **changes: Any) -> Any:
    """Return a code that may be polled now."""
    fields = {"expires_at": time.monotonic() + 100, "interval": 2, "next_poll": 0, "number": "42", **changes}
    return website.Code("secret-device-code", b"", "image/jpeg", **fields)


async def test_it_polls_no_more_often_than_allowed(website: ModuleType, answer_with: AnswerWith) -> None:
    """However often the page asks, wxlogin is asked once an interval."""
    sent, code = answer_with(PENDING), code_of(website)

    for _ in range(20):
        assert await website.poll(code) is None

    assert len(sent) == 1
    assert code.next_poll - time.monotonic() > 1


async def test_a_scan_is_remembered(website: ModuleType, answer_with: AnswerWith) -> None:
    """`scanned` is false until a poll says otherwise, and stays true. A server without this member changes nothing."""
    code, seen = code_of(website), []
    for more in ({}, {"scanned": False}, {"scanned": True}, {"scanned": False}, {}):
        answer_with(httpx2.Response(400, json={"error": "authorization_pending", **more}))
        code.next_poll = 0
        await website.poll(code)
        seen.append(code.shown()["scanned"])

    assert seen == [False, False, True, True, True]


async def test_slow_down_makes_the_interval_longer(website: ModuleType, answer_with: AnswerWith) -> None:
    """`slow_down` adds five seconds to this pause and all later ones (RFC 8628 section 3.5)."""
    answer_with(httpx2.Response(400, json={"error": "slow_down"}))
    code = code_of(website)
    await website.poll(code)

    assert (code.state, code.interval) == ("waiting", 7)
    assert code.next_poll - time.monotonic() > 6


@pytest.mark.parametrize("interval", [2, 12])
async def test_trouble_makes_the_interval_longer(website: ModuleType, answer_with: AnswerWith, interval: float) -> None:
    """While wxlogin is in trouble the interval doubles, up to 16 seconds, and the code is kept."""
    answer_with(httpx2.Response(503, json={"code": "store_unavailable"}))
    code = code_of(website, interval=interval)
    with pytest.raises(HTTPException):
        await website.poll(code)

    assert (code.state, code.interval) == ("waiting", min(2 * interval, 16))
    assert code.next_poll - time.monotonic() > code.interval - 1


@pytest.mark.parametrize(
    ("error", "state"),
    [("access_denied", "denied"), ("expired_token", "expired"), ("invalid_grant", "expired")],
)
async def test_a_code_ends_once(website: ModuleType, answer_with: AnswerWith, error: str, state: str) -> None:
    """A code that was refused, has expired or was spent is over, and never asked about again."""
    sent, code = answer_with(httpx2.Response(400, json={"error": error})), code_of(website)
    for _ in range(2):
        code.next_poll = 0
        await website.poll(code)

    assert (code.state, len(sent)) == (state, 1)


async def test_the_code_says_nothing_of_the_device_code(website: ModuleType) -> None:
    """Neither the page nor a log can show the device code by showing the code's fields."""
    assert set(code_of(website).shown()) == {"id", "state", "scanned", "number", "seconds"}


async def test_dead_sessions_make_place(website: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new session removes those that are over. Beyond the limit no session starts."""
    monkeypatch.setattr(website, "MAX_SESSIONS", 2)
    website.sessions["old"] = website.Session(until=time.monotonic() - 1)
    for _ in range(2):
        website.start(Response(), None)

    assert "old" not in website.sessions
    with pytest.raises(HTTPException):
        website.start(Response(), None)


async def test_a_session_without_a_login_lives_as_long_as_its_code(website: ModuleType) -> None:
    """A browser that never scans does not fill the memory with pictures: its session ends with its code."""
    code = code_of(website)
    waiting = website.start(Response(), None, code=code)
    logged_in = website.start(Response(), None, token="a token")

    assert waiting.until == code.expires_at
    assert logged_in.until - time.monotonic() > website.SESSION_SECONDS - 60
