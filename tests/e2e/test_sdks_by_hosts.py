"""An SDK without any setting of ours, which calls https://api.weixin.qq.com and reaches the sandbox."""

import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from support.processes import APPID, SECRET
from support.sdks.by_hosts import Weixin, can_have_hosts_file, weixin

PROGRAM = Path(__file__).parents[1] / "support/sdks/unchanged.py"

HOSTS_FILE, RESOLVER = "hosts file", "resolver"
WAYS = [HOSTS_FILE, RESOLVER] if can_have_hosts_file() else [RESOLVER]
"""How the name leads to the sandbox. The second one needs no rights."""


@pytest.fixture(params=WAYS)
def api(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Weixin]:
    """A sandbox that programs reach as https://api.weixin.qq.com."""
    with weixin(tmp_path, hosts_file=request.param == HOSTS_FILE) as running:
        yield running


def order(api: Weixin, what: str, **body: Any) -> dict[str, Any]:
    """Call one of the sandbox's controls, over TLS as its certificate allows."""
    context = ssl.create_default_context(cafile=str(api.certificate))
    extensions = {"sni_hostname": "api.weixin.qq.com"}
    with httpx2.Client(base_url=api.url, verify=context, trust_env=False) as client:
        answer = client.post(f"/sandbox/{what}", json={"appid": APPID, **body}, extensions=extensions)
    ordered: dict[str, Any] = answer.raise_for_status().json()
    return ordered


def test_wechatpy_reaches_the_sandbox_unchanged(api: Weixin) -> None:
    """wechatpy, without a subclass or an address, logs in and gets a phone number from the sandbox."""
    login = order(api, "codes", openid="oTest-user_1")
    phone = order(api, "phone-codes", phone="13800138000")

    program = api.run_python(PROGRAM, APPID, SECRET, login["code"], phone["code"])

    assert program.returncode == 0, program.stderr
    answer = json.loads(program.stdout)
    assert answer["session"]["openid"] == "oTest-user_1"
    assert answer["phone"]["phoneNumber"] == "13800138000"


def test_the_controls_do_not_answer_to_wechats_name(api: Weixin) -> None:
    """With the host api.weixin.qq.com, WeChat's paths respond, and the sandbox's controls are 421."""
    context = ssl.create_default_context(cafile=str(api.certificate))
    named: dict[str, Any] = {
        "headers": {"Host": "api.weixin.qq.com"},
        "extensions": {"sni_hostname": "api.weixin.qq.com"},
    }
    with httpx2.Client(base_url=api.url, verify=context, trust_env=False) as client:
        login = client.get("/sns/jscode2session", **named)
        calls = client.get("/sandbox/calls", **named)

    assert (login.status_code, login.json()["errcode"]) == (200, 41002)
    assert calls.status_code == 421
