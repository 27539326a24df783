"""The sandbox's controls, as the commands serve them: for this machine, unless an operator says otherwise."""

import re
from collections.abc import Iterator

import httpx2
import pytest

from support.plain_http import ask
from support.processes import Sandbox, clean_environment, running, sandbox
from support.servers import wait_until


@pytest.fixture(scope="module")
def demo_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running demo."""
    with running("demo", "--port", "0", env=clean_environment(), cwd=tmp_path_factory.mktemp("demo")) as process:
        wait_until(lambda: "The API: " in process.text() or process.process.poll() is not None, "the demo")
        yield re.findall(r"The API: (\S+)/docs", process.text())[0]


@pytest.fixture(params=["sandbox", "demo"])
def url(request: pytest.FixtureRequest, sandbox: Sandbox) -> str:
    """The address of either command, started without a --host."""
    return sandbox.url if request.param == "sandbox" else str(request.getfixturevalue("demo_url"))


def order_code(url: str, **headers: str) -> httpx2.Response:
    """Ask for a code of an app that the demo has."""
    content = b'{"appid":"wxdemo0123456789ab"}'
    return ask(f"{url}/sandbox/codes", "POST", content=content, headers={"Content-Type": "application/json", **headers})


def test_a_page_cannot_drive_it(url: str) -> None:
    """A form is 415, another host's name 421, and both say why; JSON to this machine gets a code."""
    form = order_code(url, **{"Content-Type": "text/plain"})
    rebound = order_code(url, Host="attacker.example:8001")
    looked = ask(f"{url}/sandbox/calls", headers={"Host": "attacker.example:8001"})

    assert (form.status_code, rebound.status_code, looked.status_code) == (415, 421, 421)
    assert "application/json" in form.json()["detail"]
    assert "--host" in rebound.json()["detail"]
    assert order_code(url).json()["code"]
    assert order_code(url, Host="localhost:1").json()["code"]


def test_the_demos_service_has_any_host(demo_url: str) -> None:
    """What is for this machine only are the controls, not the service beside them."""
    assert ask(f"{demo_url}/healthz", headers={"Host": "phone.example"}).status_code == 200


@pytest.mark.parametrize(("host", "taken"), [("0.0.0.0", True), ("127.0.0.2", False), ("localhost", False)])  # noqa: S104
def test_with_another_host_others_may_ask(host: str, taken: bool) -> None:
    """Listening for other machines, it takes the names that they know it by; a form is refused even so."""
    with sandbox("--host", host) as running_sandbox:
        assert order_code(running_sandbox.url, Host="sandbox:8001").is_success == taken
        assert order_code(running_sandbox.url, **{"Content-Type": "text/plain"}).status_code == 415
