"""The warnings of `wxlogin doctor`."""

import os
from pathlib import Path

import pytest

from entrypoints.exposure import SECRETS, exposures
from entrypoints.settings import Settings
from support.processes import KEY
from support.webhooks import SECRET as WEBHOOK_SECRET


@pytest.fixture(autouse=True)
def no_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without settings."""
    for name in [name for name in os.environ if name.upper().startswith("WXLOGIN_")]:
        monkeypatch.delenv(name)


def warned(**settings: str) -> list[str]:
    """Return the checks that warn."""
    found = list(exposures(Settings.model_validate(settings)))
    assert not [text for _, text in found if "pa55word" in text or "\n  hint: " not in text]
    return [check for check, _ in found]


@pytest.mark.parametrize(
    "url", ["http://10.0.0.1", "http://wechat.internal:8001", "http://localhost.example.com", "http://[fd00::1]"]
)
def test_plain_http_to_wechat_is_exposed(url: str) -> None:
    """Plain HTTP to WeChat causes a warning, because the AppSecret is in the address of the calls."""
    assert warned(wechat_url=url) == ["WeChat"]


@pytest.mark.parametrize(
    "url", ["https://api.weixin.qq.com", "http://127.0.0.1:8001", "http://[::1]:8001", "http://localhost"]
)
def test_tls_or_this_machine_is_not_exposed(url: str) -> None:
    """TLS, or a sandbox on this machine, causes no warning."""
    assert warned(wechat_url=url) == []


@pytest.mark.parametrize(
    "url",
    [
        "redis://cache:6379/0",
        "redis://:pa55word@10.0.0.1",
        "redis+cluster://user:pa55word@127.0.0.1:1,10.0.0.1:2",
        "redis+sentinel://127.0.0.1:1,cache:2/master",
    ],
)
def test_redis_across_the_network_is_exposed(url: str) -> None:
    """An unencrypted connection to a Redis on another host causes a warning. One remote host of several is enough."""
    assert warned(redis_url=url) == ["session store"]


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1:6379/0",
        "redis://:pa55word@localhost",
        "redis://[::1]:6379",
        "redis://:6379/0",
        "rediss://cache:6379/0",
        "rediss+cluster://h1:1,h2:2",
        "redis+cluster://127.0.0.1:1,127.0.0.1:2",
    ],
)
def test_redis_with_tls_or_on_this_machine_is_not_exposed(url: str) -> None:
    """A Redis connection with TLS, or on this machine, causes no warning."""
    assert warned(redis_url=url) == []


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+asyncpg://user:pa55word@db/wxlogin",
        "postgresql+asyncpg://user:pa55word@db/wxlogin?ssl=prefer",
        "postgresql+asyncpg://user:pa55word@db/wxlogin?ssl=disable",
        "postgresql+asyncpg://user:pa55word@/wxlogin?host=127.0.0.1:5432&host=db:5432",
        "mysql+asyncmy://user:pa55word@10.0.0.1/wxlogin",
        "mariadb+asyncmy://user:pa55word@db/wxlogin?charset=utf8mb4",
    ],
)
def test_a_database_across_the_network_is_exposed(url: str) -> None:
    """A remote database connection causes a warning, also when its driver may use it without TLS."""
    assert warned(database_url=url) == ["database"]


@pytest.mark.parametrize(
    "url",
    [
        "sqlite+aiosqlite:///wxlogin.db",
        "sqlite+aiosqlite:////var/lib/wxlogin/wxlogin.db",
        "postgresql+asyncpg://user:pa55word@127.0.0.1/wxlogin",
        "postgresql+asyncpg:///wxlogin?host=/var/run/postgresql",
        "postgresql+asyncpg://user:pa55word@db/wxlogin?ssl=require",
        "postgresql+asyncpg://user:pa55word@db/wxlogin?ssl=verify-full",
        "mysql+asyncmy://user:pa55word@db/wxlogin?ssl_ca=/etc/ssl/db.pem",
        "mysql+asyncmy://user:pa55word@localhost/wxlogin",
    ],
)
def test_a_database_with_tls_or_on_this_machine_is_not_exposed(url: str) -> None:
    """A file, a socket, this machine or an encrypted connection causes no warning."""
    assert warned(database_url=url) == []


def test_a_file_that_everyone_can_read_is_exposed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A TOML file or a secret file that every user can read causes a warning, if it has a secret."""
    config = tmp_path / "wxlogin.toml"
    directory = tmp_path / "secrets"
    directory.mkdir()
    for path in (config, *(directory / name for name in ("app_secret", "WXLOGIN_ENCRYPTION_KEYS", "appid", "clients"))):
        path.write_text('redis_url = "redis://:pa55word@127.0.0.1"', encoding="utf-8")
        path.chmod(0o644)
    (directory / "clients").chmod(0o640)
    monkeypatch.setenv("WXLOGIN_CONFIG", str(config))
    monkeypatch.setenv("WXLOGIN_SECRETS_DIR", str(directory))
    texts = [text for _, text in exposures(Settings.model_construct())]

    assert [text.split()[7] for text in texts] == [
        str(path) for path in (config, directory / "WXLOGIN_ENCRYPTION_KEYS", directory / "app_secret")
    ]
    config.write_text('log_level = "info"', encoding="utf-8")
    assert len(list(exposures(Settings.model_construct()))) == 2


def test_every_secret_setting_is_known() -> None:
    """Every setting whose repr is hidden is in the list of secret settings."""
    shown = {"appid": "wx1", "app_secret": "5ecret", "encryption_keys": KEY, "redis_url": "redis://h"}
    shown |= {"signing_keys": '[{"kty":"EC","crv":"P-256","x":"x","y":"y","d":"5ecret"}]'}
    shown |= {"push_token": "5ecret", "push_aes_key": "a" * 43}
    shown |= {"apps": '[{"appid":"wx2","secret":"5ecret"}]', "clients": f'{{"b":"{"5ecret" * 6}"}}'}
    shown |= {"webhooks": f'[{{"url":"https://h/","secret":"{WEBHOOK_SECRET}"}}]'}
    hidden = {name for name, value in Settings.model_validate(shown) if "**********" in repr(value)}

    assert hidden == SECRETS
