"""The controls of the sandbox in the commands: for this machine, unless an operator permits other hosts."""

import re
from collections.abc import Iterator

import httpx2
import pytest

from support.plain_http import fetch
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
    """The address of either command, started without --host."""
    return sandbox.url if request.param == "sandbox" else str(request.getfixturevalue("demo_url"))


def order_code(url: str, **headers: str) -> httpx2.Response:
    """Request a code of the demo's app."""
    content = b'{"appid":"wxdemo0123456789ab"}'
    return fetch(
        f"{url}/sandbox/codes", "POST", content=content, headers={"Content-Type": "application/json", **headers}
    )


def test_a_web_page_cannot_use_the_controls(url: str) -> None:
    """A form is 415 and another host name is 421, each with a hint. JSON for this machine gets a code."""
    form = order_code(url, **{"Content-Type": "text/plain"})
    rebound = order_code(url, Host="attacker.example:8001")
    looked = fetch(f"{url}/sandbox/calls", headers={"Host": "attacker.example:8001"})

    assert (form.status_code, rebound.status_code, looked.status_code) == (415, 421, 421)
    assert "application/json" in form.json()["detail"]
    assert "--host" in rebound.json()["detail"]
    assert order_code(url).json()["code"]
    assert order_code(url, Host="localhost:1").json()["code"]


def test_the_demos_service_accepts_any_host(demo_url: str) -> None:
    """The limit on host names applies to the controls, and not to the service of the demo."""
    assert fetch(f"{demo_url}/healthz", headers={"Host": "phone.example"}).status_code == 200


@pytest.mark.parametrize(("host", "taken"), [("0.0.0.0", True), ("127.0.0.2", False), ("localhost", False)])  # noqa: S104
def test_with_another_host_other_names_are_accepted(host: str, taken: bool) -> None:
    """With --host for other machines, other host names are accepted, and a form is still refused."""
    with sandbox("--host", host) as running_sandbox:
        assert order_code(running_sandbox.url, Host="sandbox:8001").is_success == taken
        assert order_code(running_sandbox.url, **{"Content-Type": "text/plain"}).status_code == 415
