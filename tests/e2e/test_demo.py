"""`wxlogin demo`: the printed commands, run as they are printed."""

import json
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.console import ByHand
from support.demo import Demo
from support.plain_http import fetch
from support.processes import clean_environment, run, running

CURL = shutil.which("curl")
Done = subprocess.CompletedProcess[str]
FOREIGN_SETTINGS = {
    "WXLOGIN_APPID": "not an appid!",
    "WXLOGIN_DATABASE_URL": "postgresql+asyncpg://127.0.0.1:1/none",
    "WXLOGIN_REDIS_URL": "redis://127.0.0.1:1/0",
    "WXLOGIN_ENCRYPTION_KEYS": "not a key",
    "WXLOGIN_CONFIG": "/no/such/file",
    "WXLOGIN_SECRETS_DIR": "/no/such/directory",
    "WXLOGIN_NO_SUCH_SETTING": "x",
}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """A running demo in an empty directory."""
    directory = tmp_path_factory.mktemp("demo")
    with running("demo", "--port", "0", env=clean_environment(), cwd=directory) as process:
        yield Demo(process)
    assert list(directory.iterdir()) == []


def by_shell(demo: Demo, purpose: str) -> str:
    """Run a printed command in a shell, and return its output."""
    done = subprocess.run(["sh", "-c", demo.commands[purpose]], capture_output=True, text=True, timeout=30, check=True)
    return done.stdout


def by_httpx(demo: Demo, purpose: str) -> str:
    """Send the request of a printed command, for machines without curl, and return the answer."""
    command = demo.commands[purpose]
    url = re.search(r"curl (?:-\S+ )*(?:DELETE )?(http://\S+)", command)[1]  # type: ignore[index]
    bearer = dict(re.findall(r"-H '(Authorization): ([^']+)'", command))
    if "$(curl" in command:
        ordered = re.search(r"(http://\S+/sandbox/codes) -H Content-Type:application/json -d '([^']+)'", command)
        json_type = {"Content-Type": "application/json"}
        code = fetch(ordered[1], "POST", content=ordered[2], headers=json_type).json()["code"]  # type: ignore[index]
        return fetch(url, "POST", content=json.dumps({"code": code})).text
    answer = fetch(url, "DELETE" if "DELETE" in command else "GET", headers=bearer)
    head = f"HTTP/1.1 {answer.status_code}\n" + "".join(f"{name}: {value}\n" for name, value in answer.headers.items())
    return head + answer.text if "curl -i" in command else answer.text


ways = pytest.mark.parametrize("attempt", [by_httpx, *([by_shell] if CURL else [])])


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory in which `once` runs and stores its temporary files."""
    return tmp_path_factory.mktemp("once")


@pytest.fixture(scope="module")
def once(directory: Path) -> Done:
    """A demo with `--once`, on a machine with wrong settings."""
    environment = {**clean_environment(), **FOREIGN_SETTINGS, "TMPDIR": str(directory)}
    return run("demo", "--once", "--port", "0", env=environment, cwd=directory)


def test_the_demo_ignores_the_machines_settings(once: Done) -> None:
    """`--once` ends with status 0 with any WXLOGIN_ variables, wrong ones included."""
    assert (once.returncode, once.stderr) == (0, "")


def test_the_demo_on_every_address_logs_in_by_loopback(tmp_path: Path) -> None:
    """In a container the demo listens on every address, and reaches itself on loopback."""
    done = run("demo", "--once", "--host", "0.0.0.0", "--port", "0", env=clean_environment(), cwd=tmp_path)  # noqa: S104

    assert (done.returncode, done.stderr) == (0, "")
    assert "One login took" in done.stdout


def test_one_login_is_shown(once: Done) -> None:
    """`--once` prints every step of one login, in order and with its time, and the token."""
    calls = ["code2Session", "openid, session_key", "find or create", "user", "start", "find again"]
    steps = ["POST /login/", *calls, "token"]
    positions = [once.stdout.find(f" {step} ") for step in steps]

    assert -1 not in positions
    assert positions == sorted(positions)
    assert len(re.findall(r"\d+\.\d ms$", once.stdout, re.MULTILINE)) == 10
    assert re.search(r"^  [A-Za-z0-9_-]{43}$", once.stdout, re.MULTILINE)


def test_once_prints_no_commands_to_try(once: Done, directory: Path) -> None:
    """`--once` prints no curl commands, and leaves no file."""
    assert "curl" not in once.stdout
    assert list(directory.iterdir()) == []


def test_the_demo_shows_no_secret(demo: Demo) -> None:
    """The demo prints no secret except the token, which is only where it is announced and in the commands."""
    lines = [line.strip() for line in demo.process.output if demo.token in line]
    elsewhere = [line for line in lines if line != demo.token and not line.startswith("curl ")]

    assert elsewhere == []
    assert "0123456789abcdef0123456789abcdef" not in demo.process.text()


def test_the_demo_prints_five_commands_to_try(demo: Demo) -> None:
    """The demo prints a command for /auth, for the user, for the devices, for another login and for a log-out."""
    assert list(demo.commands)[:5] == [
        "who is calling, as a gateway asks",
        "the user",
        "where they are logged in",
        "log in again, with a new code of the sandbox",
        "log out",
    ]


@ways
def test_the_gateways_command_works(demo: Demo, attempt: Any) -> None:
    """The printed /auth command returns 204 with the caller's identity."""
    answered = attempt(demo, "who is calling, as a gateway asks").lower()

    assert answered.startswith("http/1.1 204")
    assert all(f"\n{name}: " in answered for name in ("x-user-id", "x-session-id", "x-wx-openid", "x-wx-appid"))


@ways
def test_the_users_command_works(demo: Demo, attempt: Any) -> None:
    """The printed /v1/me command returns the user."""
    me = json.loads(attempt(demo, "the user"))

    assert me["accounts"][0]["openid"]


@ways
def test_the_devices_command_works(demo: Demo, attempt: Any) -> None:
    """The printed /v1/sessions command returns the session of the request."""
    sessions = json.loads(attempt(demo, "where they are logged in"))["sessions"]

    assert [session["current"] for session in sessions] == [True]


@ways
def test_the_login_command_works_repeatedly(demo: Demo, attempt: Any) -> None:
    """The printed login gets a new code and a new token each time."""
    answers = [json.loads(attempt(demo, "log in again, with a new code of the sandbox")) for _ in range(2)]

    assert [answer["status"] for answer in answers] == [0, 0]
    assert answers[0]["data"]["token"] != answers[1]["data"]["token"]


@ways
def test_the_log_out_command_works(demo: Demo, attempt: Any) -> None:
    """The printed log-out returns 204, and its token is refused afterwards."""
    token = json.loads(attempt(demo, "log in again, with a new code of the sandbox"))["data"]["token"]
    demo.commands["log out of it"] = demo.commands["log out"].replace(demo.token, token)
    first, second = (attempt(demo, "log out of it").lower() for _ in range(2))

    assert first.startswith("http/1.1 204")
    assert second.startswith("http/1.1 401")
    assert '"code":"session_ended"' in second


def test_the_printed_key_opens_the_console(demo: Demo) -> None:
    """The console listens beside the demo, and the printed key signs in. There is the user of the first login."""
    url, key = re.search(
        r"console of operators: (http://\S+/admin/) +Its admin key: (\S+)", demo.process.text()
    ).groups()  # type: ignore[union-attr]
    client = ByHand(url.removesuffix("/admin/"))
    signed_in = client.send("POST", "/admin/sign-in", data={"key": key})
    shown = client.get("/admin/live").text

    assert signed_in.status_code == 303
    assert 'id="e-' in shown
    assert fetch(f"{demo.url}/admin/").status_code == 404


def test_the_address_of_the_api_works(demo: Demo) -> None:
    """The printed address shows the documentation of the API."""
    assert fetch(f"{demo.url}/docs").status_code == 200


@pytest.mark.parametrize(("signal_number", "statuses"), [(signal.SIGINT, {0, 130}), (signal.SIGTERM, {0, 143})])
def test_the_demo_ends_on_a_signal(tmp_path: Path, signal_number: int, statuses: set[int]) -> None:
    """Ctrl-C and SIGTERM end the demo with their exit status, without a traceback and without a file."""
    environment = {**clean_environment(), "TMPDIR": str(tmp_path)}
    with running("demo", "--port", "0", env=environment, cwd=tmp_path) as process:
        Demo(process)
        status = process.stop(signal_number)

    assert status in statuses
    assert "Traceback" not in process.text()
    assert list(tmp_path.iterdir()) == []


def test_a_port_in_use_is_reported(demo: Demo, tmp_path: Path) -> None:
    """A port in use ends the demo with status 5, and the message names the port and the option."""
    port = demo.url.rpartition(":")[2]
    done = run("demo", "--port", port, env=clean_environment(), cwd=tmp_path)

    assert (done.returncode, done.stdout) == (5, "")
    assert port in done.stderr
    assert "--port" in done.stderr
    assert "Traceback" not in done.stderr
