"""API signing, against a WeChat that insists on it."""

import json
import secrets
from base64 import b64encode
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from support.processes import APPID, SECRET, Environment, Sandbox, Service, environment, run, sandbox, service

PRIVATE_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PUBLIC_PEM = (
    PRIVATE_KEY.public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    .decode()
)


def pem_of(key: rsa.RSAPrivateKey) -> str:
    """As the WeChat console gives it: PKCS#1."""
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(encoding, form, serialization.NoEncryption()).decode()


def with_signing(env: Environment, keys: dict[str, str], **change: str) -> Environment:
    """The installation with the app's keys of API security."""
    signing = {
        "sym_key": keys["sym_key"],
        "sym_key_sn": keys["sym_key_sn"],
        "private_key": pem_of(PRIVATE_KEY),
        "certificate": keys["platform_certificate"],
        "certificate_sn": keys["platform_sn"],
        **change,
    }
    apps = json.dumps([{"appid": APPID, "secret": SECRET, "signing": signing}])
    return {**env, "WXLOGIN_APPS": apps, "WXLOGIN_APPID": "", "WXLOGIN_APP_SECRET": ""}


class Signed:
    """A service, and its user."""

    def __init__(self, running: Service, wechat: Sandbox) -> None:
        self.openid = f"o{secrets.token_hex(13)}"
        self._bearer = {"Authorization": f"Bearer {running.log_in(wechat.code(openid=self.openid))['token']}"}
        self._running = running
        self._wechat = wechat

    def ask(self, method: str, path: str, **request: Any) -> Any:
        """The body of an answer."""
        return self._running.http.request(method, path, headers=self._bearer, **request).json()

    def bind_phone(self) -> Any:
        """Press the phone button."""
        return self.ask("PUT", "/v1/me/phone", json={"code": self._wechat.phone_code(phone="+8613800138000")})


@pytest.fixture
def env(sqlite_url: str, own_sandbox: Sandbox) -> Environment:
    """An installation at a WeChat of the test's own."""
    return environment(database_url=sqlite_url, wechat_url=own_sandbox.url)


@pytest.fixture
def own_sandbox() -> Any:
    """A WeChat whose console the test can use."""
    with sandbox() as running:
        yield running


@pytest.mark.parametrize("certificate", ["platform_certificate", "platform_public_key"])
def test_signed_calls_work(env: Environment, own_sandbox: Sandbox, certificate: str) -> None:
    """With API security on, all calls that support it are signed and encrypted, and their answers verified."""
    keys = own_sandbox.sign(PUBLIC_PEM)
    with service(env=with_signing(env, keys, certificate=keys[certificate])) as running:
        user = Signed(running, own_sandbox)
        encrypted = own_sandbox.encrypt(user.openid, {"x": 1})["encryptedData"]

        assert user.bind_phone()["phone"] == "+8613800138000"
        assert user.ask("POST", "/v1/wechat/check", json={"encryptedData": encrypted})["valid"]
        assert user.ask("POST", "/v1/wechat/check", json={"encryptedData": "AAAA"}) == {
            "valid": False,
            "created_at": None,
        }
        assert user.ask("GET", "/v1/wechat/encrypt-keys")["keys"]
        assert user.ask("GET", "/v1/wechat/session-key") == {"valid": True}


def test_a_code_that_wechat_refuses_is_refused_when_signed(env: Environment, own_sandbox: Sandbox) -> None:
    """An errcode inside the encrypted answer means the same as outside."""
    with service(env=with_signing(env, own_sandbox.sign(PUBLIC_PEM))) as running:
        answer = Signed(running, own_sandbox).ask("PUT", "/v1/me/phone", json={"code": "f" * 64})

        assert (answer["code"], answer["errcode"]) == ("code_invalid", 40029)


WRONG_KEYS = {
    "another private key": ({"private_key": pem_of(rsa.generate_private_key(65537, 2048))}, 40234),
    "another symmetric key": ({"sym_key": b64encode(bytes(32)).decode()}, 40235),
    "another number": ({"sym_key_sn": "0" * 32}, 40235),
}


@pytest.mark.parametrize(("change", "errcode"), WRONG_KEYS.values(), ids=WRONG_KEYS)
def test_wrong_keys_are_explained(env: Environment, own_sandbox: Sandbox, change: dict[str, str], errcode: int) -> None:
    """A key that is not the console's is the operator's to mend, and the error names the setting."""
    with service(env=with_signing(env, own_sandbox.sign(PUBLIC_PEM), **change)) as running:
        answer = Signed(running, own_sandbox).bind_phone()

        assert (answer["code"], answer["errcode"]) == ("app_misconfigured", errcode)
        assert "WXLOGIN_APPS" in answer["detail"]


@pytest.mark.parametrize("change", [{"certificate": PUBLIC_PEM}, {"certificate_sn": "0" * 32}])
def test_an_answer_that_is_not_wechats_is_refused(
    env: Environment, own_sandbox: Sandbox, change: dict[str, str]
) -> None:
    """An answer that is not signed with the known certificate is a bad answer, whatever it says."""
    with service(env=with_signing(env, own_sandbox.sign(PUBLIC_PEM), **change)) as running:
        assert Signed(running, own_sandbox).bind_phone()["code"] == "wechat_bad_answer"


def test_an_app_without_keys_is_told_what_it_lacks(env: Environment, own_sandbox: Sandbox) -> None:
    """When the console wants signatures and the app has no keys here, the error says so."""
    own_sandbox.sign(PUBLIC_PEM)
    with service(env=env) as running:
        answer = Signed(running, own_sandbox).bind_phone()

        assert answer["code"] == "app_misconfigured"
        assert 40230 <= answer["errcode"] <= 40239


@pytest.mark.parametrize("change", [{"sym_key": "short"}, {"private_key": "no PEM"}, {"certificate": PUBLIC_PEM[:100]}])
@pytest.mark.parametrize("command", [["serve"], ["doctor"]])
def test_keys_that_are_none_stop_the_start(
    env: Environment, own_sandbox: Sandbox, change: dict[str, str], command: list[str]
) -> None:
    """A key that cannot be read is status 5, named, and shown nowhere."""
    env = with_signing(env, own_sandbox.sign(PUBLIC_PEM), **change)
    run("migrate", env=env)
    done = run(*command, env=env)

    assert done.returncode == 5
    assert f"WXLOGIN_APPS (signing of {APPID})" in done.stderr + done.stdout
    assert "PRIVATE KEY" not in done.stderr + done.stdout
