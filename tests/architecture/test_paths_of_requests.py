"""The number of source files that run for one request does not grow."""

import json
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import FrameType

import anyio
import pytest
from litestar import Litestar
from litestar.types import Message, Receive

from entrypoints.container import open_container
from entrypoints.http.app import create_app
from entrypoints.settings import Settings
from support.processes import APPID, KEY, SECRET, Sandbox

pytestmark = pytest.mark.anyio

SRC = Path(__file__).parents[2] / "src"

LOGIN_FILES = 24

CHECK_FILES = 12

REPEATS = 20


@pytest.fixture
async def app(sandbox: Sandbox, redis_url: str, sqlite_url: str) -> AsyncIterator[Litestar]:
    """The application as operators run it, with sessions in Redis."""
    settings = Settings.model_validate(
        {
            "appid": APPID,
            "app_secret": SECRET,
            "encryption_keys": KEY,
            "wechat_url": sandbox.url,
            "wechat_timeout_seconds": 10,
            "redis_url": redis_url,
            "database_url": sqlite_url,
        }
    )
    app = create_app(lambda: open_container(settings))
    async with app.lifespan():
        yield app


Run = tuple[int, bytes, dict[str, set[str]]]
"""The status and body of an answer, and the functions that ran for it, by file of the project."""


def fewest(runs: Sequence[Run]) -> dict[str, set[str]]:
    """Return the files of the run with the fewest files, because other runs may include background work."""
    return min((ran for _, _, ran in runs), key=len)


async def request(app: Litestar, method: str, path: str, token: str = "", content: object = None) -> Run:
    """Send a request to the application in this process."""
    body = json.dumps(content).encode() if content else b""
    headers = [(b"host", b"wxlogin"), (b"authorization", f"Bearer {token}".encode())]
    headers += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())] if body else []
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
        "state": {},
    }
    sent: list[Message] = []
    ran: dict[str, set[str]] = defaultdict(set)

    async def send(message: Message) -> None:
        sent.append(message)

    def meet(frame: FrameType, event: str, _argument: object) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(SRC):
            ran[str(path.relative_to(SRC))].add(frame.f_code.co_name)

    sys.setprofile(meet)
    try:
        await app(scope, _receiving(body), send)  # type: ignore[arg-type]  # a dict is a scope
    finally:
        sys.setprofile(None)
    start, *rest = sent
    return start["status"], b"".join(part["body"] for part in rest), dict(ran)  # type: ignore[typeddict-item]


def _receiving(body: bytes) -> Receive:
    messages = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> object | None:
        for message in messages:
            return message
        await anyio.sleep_forever()  # the client stays connected
        return None

    return receive  # type: ignore[return-value]  # a dict is a message


async def test_a_login_runs_few_files(app: Litestar, sandbox: Sandbox) -> None:
    """POST /login/ of a known user executes few source files, with WeChat, the database and Redis included."""
    runs = [
        await request(app, "POST", "/login/", content={"code": sandbox.code(openid="oKnown")}) for _ in range(REPEATS)
    ]
    ran = fewest(runs)

    assert {status for status, _, _ in runs} == {200}
    assert "application/login.py" in ran
    assert len(ran) <= LOGIN_FILES, sorted(ran)


async def test_a_check_runs_few_files(app: Litestar, sandbox: Sandbox) -> None:
    """GET /auth with a live token executes few source files."""
    _, body, _ = await request(app, "POST", "/login/", content={"code": sandbox.code()})
    token = json.loads(body)["data"]["token"]
    runs = [await request(app, "GET", "/auth", token) for _ in range(REPEATS)]
    ran = fewest(runs)

    assert {status for status, _, _ in runs} == {204}
    assert "application/sessions.py" in ran
    assert len(ran) <= CHECK_FILES, sorted(ran)
