"""The rotation of encryption keys, in all its steps."""

import json
import secrets

import pytest

from support.processes import Environment, Sandbox, Service, environment, run, service

OLD, NEW = "b2xkb2xkb2xkb2xkb2xkb2xkb2xkb2xkb2xkb2xkb2w=", "bmV3bmV3bmV3bmV3bmV3bmV3bmV3bmV3bmV3bmV3bmU="


@pytest.fixture(params=["database", "redis"])
def env(request: pytest.FixtureRequest, sandbox: Sandbox, sqlite_url: str) -> Environment:
    """A new installation, with its keys in either store."""
    redis = {"redis_url": request.getfixturevalue("own_redis_url")} if request.param == "redis" else {}
    return environment(database_url=sqlite_url, wechat_url=sandbox.url, **redis)


def with_keys(env: Environment, *keys: str) -> Environment:
    """Return the environment with these encryption keys."""
    return {**env, "WXLOGIN_ENCRYPTION_KEYS": ",".join(keys)}


def decrypt(running: Service, token: str, encrypted: dict[str, str]) -> tuple[int, str]:
    """Decrypt data, and return the status and the content or the error code."""
    body = {name: encrypted[name] for name in ("encryptedData", "iv")}
    answer = running.http.post("/v1/wechat/decrypt", json=body, headers={"Authorization": f"Bearer {token}"})
    return answer.status_code, answer.json().get("code") or answer.json()["x"]


def test_an_encryption_key_is_rotated_without_a_log_out(env: Environment, sandbox: Sandbox) -> None:
    """After a rotation of the encryption key, stored session_keys still decrypt data, and the tokens stay valid."""
    openid = f"o{secrets.token_hex(10)}"
    with service(env=with_keys(env, OLD)) as running:
        token = running.log_in(sandbox.code(openid=openid))["token"]
        encrypted = sandbox.encrypt(openid, {"x": "y"})
        assert decrypt(running, token, encrypted) == (200, "y")
    done = run("reencrypt", env=with_keys(env, NEW, OLD))
    with service(env=with_keys(env, NEW)) as running:
        assert decrypt(running, token, encrypted) == (200, "y")

    counted = json.loads(done.stdout)
    assert (done.returncode, counted["lost"]) == (0, 0)
    assert counted["done"] >= 1


def test_a_new_login_restores_decryption_after_a_lost_key(env: Environment, sandbox: Sandbox) -> None:
    """After the loss of an encryption key users stay logged in, and a new login restores the decryption."""
    openid = f"o{secrets.token_hex(10)}"
    with service(env=with_keys(env, OLD)) as running:
        token = running.log_in(sandbox.code(openid=openid))["token"]
    with service(env=with_keys(env, NEW)) as running:
        encrypted = sandbox.encrypt(openid, {"x": "y"})
        assert running.auth(token).status_code == 204
        assert decrypt(running, token, encrypted) == (400, "data_undecryptable")
        token = running.log_in(sandbox.code(openid=openid))["token"]
        assert decrypt(running, token, sandbox.encrypt(openid, {"x": "y"})) == (200, "y")
        counted = json.loads(run("reencrypt", env=with_keys(env, NEW)).stdout)

    assert counted["lost"] >= 1
