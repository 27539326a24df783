"""API signing, with a WeChat that requires it."""

import json
import re
import secrets
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from support.processes import SECRET, Sandbox, Service, environment, run, service
from support.servers import sqlite_url, wait_until

PRIVATE_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PUBLIC_PEM = (
    PRIVATE_KEY.public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    .decode()
)


def pem_of(key: rsa.RSAPrivateKey) -> str:
    """Return the key in PKCS#1, as the WeChat console shows it."""
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(encoding, form, serialization.NoEncryption()).decode()


def app(sandbox: Sandbox, name: str, **change: str) -> dict[str, Any]:
    """Return the settings of an app with API security, and with a change of its keys."""
    keys = sandbox.sign(PUBLIC_PEM, appid=f"wx-{name}")
    signing = {
        "sym_key": keys["sym_key"],
        "sym_key_sn": keys["sym_key_sn"],
        "private_key": pem_of(PRIVATE_KEY),
        "certificate": keys["platform_certificate"],
        "certificate_sn": keys["platform_sn"],
        **{field: keys.get(value, value) for field, value in change.items()},
    }
    return {"appid": f"wx-{name}", "secret": SECRET, "signing": signing}


WRONG_KEYS: dict[str, tuple[dict[str, str], str, int | None]] = {
    "another-private-key": ({"private_key": pem_of(rsa.generate_private_key(65537, 2048))}, "app_misconfigured", 40234),
    "another-sym-key": ({"sym_key": b64encode(bytes(32)).decode()}, "app_misconfigured", 40235),
    "another-number": ({"sym_key_sn": "0" * 32}, "app_misconfigured", 40235),
    "another-certificate": ({"certificate": PUBLIC_PEM}, "wechat_bad_answer", None),
    "another-certificate-sn": ({"certificate_sn": "0" * 32}, "wechat_bad_answer", None),
}
"""By app: the wrong keys, and the error of a signed call."""


def apps(sandbox: Sandbox) -> str:
    """Return WXLOGIN_APPS with apps that have correct keys, wrong keys and no keys."""
    wrong = [app(sandbox, name, **change) for name, (change, _, _) in WRONG_KEYS.items()]
    bare = app(sandbox, "without-keys") | {"signing": None}
    of_key = app(sandbox, "public-key", certificate="platform_public_key")
    return json.dumps([app(sandbox, "certificate"), of_key, bare, *wrong])


@pytest.fixture(scope="module")
def signed(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service of all these apps."""
    url = sqlite_url(tmp_path_factory.mktemp("signing"))
    env = environment(database_url=url, wechat_url=sandbox.url, apps=apps(sandbox))
    with service(env=env) as running:
        yield running


class Person:
    """A user of one app, and the user's requests."""

    def __init__(self, running: Service, sandbox: Sandbox, name: str) -> None:
        self.appid = f"wx-{name}"
        self.openid = f"o{secrets.token_hex(13)}"
        self._running = running
        self._sandbox = sandbox
        body = {"code": sandbox.code(self.appid, openid=self.openid), "appid": self.appid}
        token = running.http.post("/v1/sessions", json=body).json()["token"]
        self._bearer = {"Authorization": f"Bearer {token}"}

    def send(self, method: str, path: str, **request: Any) -> Any:
        """Send a request, and return the body of its answer."""
        return self._running.http.request(method, path, headers=self._bearer, **request).json()

    def bind_phone(self) -> Any:
        """Bind a phone number with a code of the phone button."""
        code = self._sandbox.phone_code(self.appid, phone="+8613800138000")
        return self.send("PUT", "/v1/me/phone", json={"code": code})


@pytest.mark.parametrize("name", ["certificate", "public-key"])
def test_signed_calls_work(signed: Service, sandbox: Sandbox, name: str) -> None:
    """With API security, all calls that support it are signed and encrypted, and their answers are verified."""
    user = Person(signed, sandbox, name)
    encrypted = sandbox.encrypt(user.openid, {"x": 1}, appid=user.appid)["encryptedData"]

    assert user.bind_phone()["phone"] == "+8613800138000"
    assert user.send("POST", "/v1/wechat/check", json={"encryptedData": encrypted})["valid"]
    assert not user.send("POST", "/v1/wechat/check", json={"encryptedData": "AAAA"})["valid"]
    assert user.send("GET", "/v1/wechat/encrypt-keys")["keys"]
    assert user.send("GET", "/v1/wechat/session-key") == {"valid": True}


def test_a_code_that_wechat_refuses_is_refused_when_signed(signed: Service, sandbox: Sandbox) -> None:
    """An errcode in an encrypted answer has the same effect as in an unencrypted one."""
    answer = Person(signed, sandbox, "certificate").send("PUT", "/v1/me/phone", json={"code": "f" * 64})

    assert (answer["code"], answer["errcode"]) == ("code_invalid", 40029)


@pytest.mark.parametrize("name", WRONG_KEYS)
def test_the_log_explains_wrong_keys(signed: Service, sandbox: Sandbox, name: str) -> None:
    """The log has a hint about a wrong key, and the client does not get it.

    An answer that WeChat did not sign is refused.
    """
    _, code, errcode = WRONG_KEYS[name]
    answer = Person(signed, sandbox, name).bind_phone()

    assert (answer["code"], answer.get("errcode")) == (code, errcode)
    assert "WeChat console" not in answer["detail"]
    assert "WeChat console" in line_of(signed, code, errcode)["detail"]


def line_of(signed: Service, code: str, errcode: int | None) -> dict[str, Any]:
    """Wait for the log line about this error, and return it."""

    def found() -> list[dict[str, Any]]:
        events = signed.process.events()
        return [event for event in events if (event["event"], event.get("errcode")) == (code, errcode)]

    wait_until(lambda: bool(found()), "the log")
    return found()[-1]


def test_the_log_names_the_setting_of_missing_keys(signed: Service, sandbox: Sandbox) -> None:
    """When the console requires signatures and the app has no keys, the log names the setting."""
    answer = Person(signed, sandbox, "without-keys").bind_phone()

    assert answer["code"] == "app_misconfigured"
    assert "Add `signing`" in line_of(signed, answer["code"], answer["errcode"])["detail"]


def test_the_doctor_proves_the_keys(sandbox: Sandbox, tmp_path: Path) -> None:
    """`doctor --wechat` makes a signed call for each app with keys, and fails for the apps with wrong keys."""
    env = environment(database_url=sqlite_url(tmp_path), wechat_url=sandbox.url, apps=apps(sandbox))
    run("migrate", env=env)
    done = run("doctor", "--wechat", env=env)
    failed = re.findall(r"^FAIL +WeChat wx-(\S+) ", done.stdout, re.MULTILINE)

    assert set(failed) == set(WRONG_KEYS)
    assert done.returncode == 5


@pytest.mark.parametrize("field", ["sym_key", "private_key", "certificate"])
@pytest.mark.parametrize("command", ["serve", "doctor"])
def test_a_malformed_key_prevents_the_start(sandbox: Sandbox, tmp_path: Path, field: str, command: str) -> None:
    """A malformed key ends with status 5, and the message names the field and does not show the key."""
    wrong = json.dumps([app(sandbox, "broken", **{field: pem_of(PRIVATE_KEY)[:-200]})])
    env = environment(database_url=sqlite_url(tmp_path), wechat_url=sandbox.url, apps=wrong)
    run("migrate", env=env)
    done = run(command, env=env)

    assert done.returncode == 5
    assert f"WXLOGIN_APPS (signing of wx-broken): {field} must be" in done.stderr + done.stdout
    assert "PRIVATE KEY" not in done.stderr + done.stdout
