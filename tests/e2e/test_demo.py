"""`wxlogin demo`: what a newcomer sees first, tried as it is printed."""

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.plain_http import ask
from support.processes import Running, clean_environment, run, running
from support.servers import wait_until

MINI_PROGRAM_TESTS = Path(__file__).parents[2] / "examples/miniprogram/test/wxlogin.test.js"
CURL = shutil.which("curl")
NODES = {os.path.realpath(found) for name in ("node", "nodejs") if (found := shutil.which(name))}
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


class Demo:
    """A running demo, and what it printed."""

    def __init__(self, process: Running) -> None:
        self.process = process
        wait_until(lambda: "Ctrl-C" in process.text() or process.process.poll() is not None, "the demo")
        self.url = re.search(r"The API: (http://127\.0\.0\.1:\d+)/docs", process.text())[1]  # type: ignore[index]
        printed = re.findall(r"^  # (.+)\n  (curl .+)$", process.text(), re.MULTILINE)
        self.token = re.search(r"shown only here:\n  (\S+)\n", process.text())[1]  # type: ignore[index]
        self.commands: dict[str, str] = dict(printed)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """A demo that runs, in an empty directory."""
    directory = tmp_path_factory.mktemp("demo")
    with running("demo", "--port", "0", env=clean_environment(), cwd=directory) as process:
        yield Demo(process)
    assert list(directory.iterdir()) == []


def by_shell(demo: Demo, purpose: str) -> str:
    """What the printed command prints, run as a person would who pastes it."""
    done = subprocess.run(["sh", "-c", demo.commands[purpose]], capture_output=True, text=True, timeout=30, check=True)
    return done.stdout


def by_httpx(demo: Demo, purpose: str) -> str:
    """What the printed request is answered, for machines without curl."""
    command = demo.commands[purpose]
    url = re.search(r"curl (?:-\S+ )*(?:DELETE )?(http://\S+)", command)[1]  # type: ignore[index]
    bearer = dict(re.findall(r"-H '(Authorization): ([^']+)'", command))
    if "$(curl" in command:
        ordered = re.search(r"(http://\S+/sandbox/codes) -H Content-Type:application/json -d '([^']+)'", command)
        json_type = {"Content-Type": "application/json"}
        code = ask(ordered[1], "POST", content=ordered[2], headers=json_type).json()["code"]  # type: ignore[index]
        return ask(url, "POST", content=json.dumps({"code": code})).text
    answer = ask(url, "DELETE" if "DELETE" in command else "GET", headers=bearer)
    head = f"HTTP/1.1 {answer.status_code}\n" + "".join(f"{name}: {value}\n" for name, value in answer.headers.items())
    return head + answer.text if "curl -i" in command else answer.text


ways = pytest.mark.parametrize("attempt", [by_httpx, *([by_shell] if CURL else [])])


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `once` runs and has its temporary files."""
    return tmp_path_factory.mktemp("once")


@pytest.fixture(scope="module")
def once(directory: Path) -> Done:
    """A demo that ended by itself, on a machine whose settings are all wrong."""
    environment = {**clean_environment(), **FOREIGN_SETTINGS, "TMPDIR": str(directory)}
    return run("demo", "--once", "--port", "0", env=environment, cwd=directory)


def test_the_machines_settings_leave_the_demo_alone(once: Done) -> None:
    """`--once` ends with 0 whatever WXLOGIN_ variables are set, wrong ones too."""
    assert (once.returncode, once.stderr) == (0, "")


def test_one_login_is_shown(once: Done) -> None:
    """`--once` shows every step of one login, in order and with its time, and the token."""
    calls = ["code2Session", "openid, session_key", "find or create", "user", "start", "find again"]
    steps = ["POST /login/", *calls, "token"]
    positions = [once.stdout.find(f" {step} ") for step in steps]

    assert -1 not in positions
    assert positions == sorted(positions)
    assert len(re.findall(r"\d+\.\d ms$", once.stdout, re.MULTILINE)) == 10
    assert re.search(r"^  [A-Za-z0-9_-]{43}$", once.stdout, re.MULTILINE)


def test_the_demo_that_ends_offers_nothing_to_try(once: Done, directory: Path) -> None:
    """`--once` prints no command that nobody would answer, and leaves no file behind."""
    assert "curl" not in once.stdout
    assert list(directory.iterdir()) == []


def test_the_demo_shows_no_secret(demo: Demo) -> None:
    """Of all secrets only the token is shown, and only where it says so and in the commands that use it."""
    lines = [line.strip() for line in demo.process.output if demo.token in line]
    elsewhere = [line for line in lines if line != demo.token and not line.startswith("curl ")]

    assert elsewhere == []
    assert "0123456789abcdef0123456789abcdef" not in demo.process.text()


def test_the_demo_offers_five_things_to_try(demo: Demo) -> None:
    """There is a command for who is calling, the user, their devices, another login and logging out."""
    assert list(demo.commands)[:5] == [
        "who is calling, as a gateway asks",
        "the user",
        "where they are logged in",
        "log in again, with a new code of the sandbox",
        "log out",
    ]


@ways
def test_the_gateways_command_works(demo: Demo, attempt: Any) -> None:
    """The printed /auth is 204 with the caller's identity."""
    answered = attempt(demo, "who is calling, as a gateway asks").lower()

    assert answered.startswith("http/1.1 204")
    assert all(f"\n{name}: " in answered for name in ("x-user-id", "x-session-id", "x-wx-openid", "x-wx-appid"))


@ways
def test_the_users_command_works(demo: Demo, attempt: Any) -> None:
    """The printed /v1/me shows the user who was logged in."""
    me = json.loads(attempt(demo, "the user"))

    assert me["accounts"][0]["openid"]


@ways
def test_the_devices_command_works(demo: Demo, attempt: Any) -> None:
    """The printed /v1/sessions shows the session that asks."""
    sessions = json.loads(attempt(demo, "where they are logged in"))["sessions"]

    assert [session["current"] for session in sessions] == [True]


@ways
def test_the_login_command_works_again_and_again(demo: Demo, attempt: Any) -> None:
    """The printed login gets a code of its own each time, and a new token for it."""
    answers = [json.loads(attempt(demo, "log in again, with a new code of the sandbox")) for _ in range(2)]

    assert [answer["status"] for answer in answers] == [0, 0]
    assert answers[0]["data"]["token"] != answers[1]["data"]["token"]


@ways
def test_the_log_out_command_works(demo: Demo, attempt: Any) -> None:
    """The printed log-out is 204, and its token opens nothing afterwards."""
    token = json.loads(attempt(demo, "log in again, with a new code of the sandbox"))["data"]["token"]
    demo.commands["log out of it"] = demo.commands["log out"].replace(demo.token, token)
    first, second = (attempt(demo, "log out of it").lower() for _ in range(2))

    assert first.startswith("http/1.1 204")
    assert second.startswith("http/1.1 401")
    assert '"code":"session_ended"' in second


def test_the_address_of_the_api_works(demo: Demo) -> None:
    """The printed address shows the API."""
    assert ask(f"{demo.url}/docs").status_code == 200


@pytest.mark.parametrize(("signal_number", "statuses"), [(signal.SIGINT, {0, 130}), (signal.SIGTERM, {0, 143})])
def test_the_demo_ends_when_told_to(tmp_path: Path, signal_number: int, statuses: set[int]) -> None:
    """Ctrl-C and SIGTERM end the demo as they should, without a traceback and without a file left behind."""
    environment = {**clean_environment(), "TMPDIR": str(tmp_path)}
    with running("demo", "--port", "0", env=environment, cwd=tmp_path) as process:
        Demo(process)
        status = process.stop(signal_number)

    assert status in statuses
    assert "Traceback" not in process.text()
    assert list(tmp_path.iterdir()) == []


def test_a_port_in_use_is_told(demo: Demo, tmp_path: Path) -> None:
    """A port that is taken ends the demo with status 5, and the message names it and the way out."""
    port = demo.url.rpartition(":")[2]
    done = run("demo", "--port", port, env=clean_environment(), cwd=tmp_path)

    assert (done.returncode, done.stdout) == (5, "")
    assert port in done.stderr
    assert "--port" in done.stderr
    assert "Traceback" not in done.stderr


if NODES:

    @pytest.mark.parametrize("node", sorted(NODES))
    def test_the_example_mini_program_works(demo: Demo, node: str) -> None:
        """The example mini-program's own tests pass against the demo."""
        done = subprocess.run(
            [node, "--test", str(MINI_PROGRAM_TESTS)],
            env={**clean_environment(), "WXLOGIN_URL": demo.url},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

        assert done.returncode == 0, done.stdout + done.stderr
        assert re.search(r"^. pass [1-9]", done.stdout, re.MULTILINE)
