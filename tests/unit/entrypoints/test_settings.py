"""Settings: their sources, their validation, and their secrets."""

import json
import os
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.identity import AppId
from domain.rate_limit import RateLimit
from domain.session import SessionPolicy
from domain.signed_token import IdentityClaim, SignedTokenPolicy
from entrypoints.settings import Settings, SettingsError, load_settings
from support.processes import KEY
from support.webhooks import SECRET as WEBHOOK_SECRET

OTHER_KEY = "bW9yZSB0aGFuIG9uZSBrZXkgYW5kIGxlc3MgdGhhbiA="

Write = Callable[..., None]

SHA256 = "0123456789abcdef" * 4
TOML_VALUES = {
    "appid": '"wx0123456789abcdef"',
    "app_secret": '"0123456789abcdef0123456789abcdef"',
    "apps": '[{ appid = "wx0123456789abcdef", secret = "0123456789abcdef0123456789abcdef" }]',
    "wechat_url": '"http://127.0.0.1:8001"',
    "wechat_timeout_seconds": "1.5",
    "database_url": '"postgresql+asyncpg://user:password@host/wxlogin"',
    "redis_url": '"rediss://host:6379/0"',
    "encryption_keys": f'["{KEY}"]',
    "session_idle_seconds": "60",
    "session_max_seconds": "600.5",
    "sessions_per_user": "0",
    "trusted_proxies": '["10.0.0.0/8", "192.168.1.4"]',
    "login_rate_limit": '"20/second"',
    "app_login_rate_limit": '"5000/10 minutes"',
    "clients": '{ backend = "0123456789abcdef0123456789abcdef" }',
    "issuer": '"https://id.example.com"',
    "signing_keys": '[{ kty = "EC", crv = "P-256", x = "x", y = "y", d = "d" }]',
    "audiences": '["orders", "payments"]',
    "assertion_audience": '"orders"',
    "jwt_seconds": "60",
    "jwt_claims": '["openid", "unionid"]',
    "scan_page": '"packages/login/pages/scan"',
    "scan_env_version": '"trial"',
    "scan_match_number": "false",
    "push_token": '"a1b2c3d4e5f6a7b8c9d0e1f2a3b4c5d6"',
    "push_aes_key": '"abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"',
    "push_forward_url": '"https://backend.example.com/wechat?from=wxlogin"',
    "phone_unique": "true",
    "audit_days": "30",
    "audit_sessions": "true",
    "admin_keys": f'{{ ann = {{ sha256 = "{SHA256}", scopes = ["read"] }} }}',
    "webhooks": f'[{{ url = "https://shop.example.com/hooks", secret = "{WEBHOOK_SECRET}" }}]',
    "drain_seconds": "15.0",
    "docs": "false",
    "metrics": "false",
    "log_level": '"debug"',
    "log_format": '"console"',
}
TEXT_VALUES = {name: value.strip('"') for name, value in TOML_VALUES.items()} | {
    "apps": '[{"appid":"wx0123456789abcdef","secret":"0123456789abcdef0123456789abcdef"}]',
    "encryption_keys": KEY,
    "trusted_proxies": "10.0.0.0/8, 192.168.1.4",
    "clients": '{"backend":"0123456789abcdef0123456789abcdef"}',
    "admin_keys": f'{{"ann":{{"sha256":"{SHA256}","scopes":["read"]}}}}',
    "signing_keys": '[{"kty":"EC","crv":"P-256","x":"x","y":"y","d":"d"}]',
    "webhooks": f'[{{"url":"https://shop.example.com/hooks","secret":"{WEBHOOK_SECRET}"}}]',
    "audiences": "orders, payments",
    "jwt_claims": "openid,unionid",
}
"""A valid value of every setting, different from its default, as TOML and as text."""

every_setting = pytest.mark.parametrize("name", list(Settings.model_fields))


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment without settings, and an empty directory for secrets."""
    for name in [name for name in os.environ if name.upper().startswith("WXLOGIN_")]:
        monkeypatch.delenv(name)
    directory = tmp_path / "secrets"
    directory.mkdir()
    monkeypatch.setenv("WXLOGIN_SECRETS_DIR", str(directory))
    return directory


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Write:
    """A function that sets variables by their names without the prefix."""

    def write(**values: str) -> None:
        for name, value in values.items():
            monkeypatch.setenv(f"WXLOGIN_{name.upper()}", value)

    return write


@pytest.fixture
def secret_files(directory: Path) -> Write:
    """A function that writes secret files."""

    def write(**values: str) -> None:
        for name, value in values.items():
            (directory / name).write_text(value, encoding="utf-8")

    return write


@pytest.fixture
def toml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """A function that writes the TOML file."""

    def write(text: str) -> None:
        (tmp_path / "wxlogin.toml").write_text(text, encoding="utf-8")
        monkeypatch.setenv("WXLOGIN_CONFIG", str(tmp_path / "wxlogin.toml"))

    return write


def refused() -> str:
    """Return the text of the SettingsError."""
    with pytest.raises(SettingsError) as raised:
        load_settings()
    return str(raised.value)


def test_without_settings_every_value_is_the_default() -> None:
    """Without any setting, every value is its default."""
    assert load_settings() == Settings.model_validate({})


def test_the_values_of_these_tests_cover_every_setting() -> None:
    """The values of this file include every setting."""
    assert set(TEXT_VALUES) == set(TOML_VALUES) == set(Settings.model_fields)


@every_setting
def test_every_setting_comes_from_every_source(
    name: str, environment: Write, secret_files: Write, toml: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A value has the same effect as a variable, as a secret file with either name, and in TOML."""
    environment(**{name: TEXT_VALUES[name]})
    from_environment = load_settings()
    monkeypatch.delenv(f"WXLOGIN_{name.upper()}")
    secret_files(**{name: TEXT_VALUES[name]})
    from_secrets = load_settings()
    secret_files(**{name: "nonsense", f"WXLOGIN_{name.upper()}": TEXT_VALUES[name]})
    (Path(os.environ["WXLOGIN_SECRETS_DIR"]) / name).unlink()
    from_prefixed_secrets = load_settings()
    monkeypatch.delenv("WXLOGIN_SECRETS_DIR")
    toml(f"{name} = {TOML_VALUES[name]}")
    from_toml = load_settings()

    assert from_environment == from_secrets == from_prefixed_secrets == from_toml
    assert from_environment.model_fields_set == {name}


def test_variables_precede_secret_files_and_secret_files_precede_toml(
    environment: Write, secret_files: Write, toml: Callable[[str], None]
) -> None:
    """Variables take precedence over secret files, and secret files over the TOML file."""
    toml('appid = "wxtoml"\nwechat_timeout_seconds = 3\nsessions_per_user = 3')
    secret_files(appid="wxsecret", wechat_timeout_seconds="2")
    environment(appid="wxenvironment")
    loaded = load_settings()

    assert (loaded.appid, loaded.wechat_timeout_seconds, loaded.sessions_per_user) == ("wxenvironment", 2, 3)


@pytest.mark.parametrize("source", ["secret files", "TOML"])
def test_a_list_of_one_source_replaces_that_of_another(
    source: str, environment: Write, secret_files: Write, toml: Callable[[str], None]
) -> None:
    """A list from one source completely replaces the list from another source."""
    if source == "TOML":
        toml(f'[[apps]]\nappid = "wxold"\nsecret = "s1"\n[clients]\nold = "{"s2" * 16}"')
    else:
        secret_files(apps='[{"appid":"wxold","secret":"s1"}]', clients=f'{{"old":"{"s2" * 16}"}}')
    environment(apps='[{"appid":"wxnew","secret":"s3"}]', clients=f'{{"new":"{"s4" * 16}"}}')
    loaded = load_settings()

    assert loaded.secrets_of("wechat") == {AppId("wxnew"): "s3"}
    assert set(loaded.clients) == {"new"}


@every_setting
def test_an_empty_variable_is_ignored(name: str, environment: Write) -> None:
    """An empty variable has the effect of a missing one."""
    environment(**{name: ""})

    assert load_settings().model_fields_set == set()


def test_a_variable_may_be_spelled_in_any_case(monkeypatch: pytest.MonkeyPatch) -> None:
    """The names of variables are not case-sensitive, as on Windows."""
    monkeypatch.setenv("wxlogin_appid", "wx1")

    assert load_settings().appid == "wx1"


@pytest.mark.parametrize(
    "name", ["WXLOGIN_APP_ID", "WXLOGIN_SECRET", "wxlogin_apid", "WXLOGIN_", "WXLOGIN_APPS__0__APPID", "WXLOGIN_COOKIE"]
)
def test_an_unknown_variable_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown variable raises an error with its name and the valid names, and without its value."""
    monkeypatch.setenv(name, "va1ue")
    text = refused()

    assert name in text
    assert "WXLOGIN_APPID" in text
    assert "va1ue" not in text


@pytest.mark.parametrize("name", ["apid", "APPID", "wxlogin_appid", "config", "secrets_dir"])
def test_an_unknown_key_is_refused(name: str, toml: Callable[[str], None]) -> None:
    """An unknown key of the TOML file raises an error with its name and the valid names, and without its value."""
    toml(f'{name} = "va1ue"')
    text = refused()

    assert name in text
    assert "app_secret" in text
    assert "va1ue" not in text


@pytest.mark.parametrize("name", ["apid", "db_password", "WXLOGIN_SECRET", "appid.txt", "wxlogin_config"])
def test_an_unknown_secret_file_is_refused(name: str, secret_files: Write) -> None:
    """An unknown file in the directory of secrets raises an error with its name, and without its content."""
    secret_files(**{name: "va1ue"})
    text = refused()

    assert name in text
    assert "va1ue" not in text


def test_other_entries_of_a_mounted_directory_are_ignored(directory: Path, secret_files: Write) -> None:
    """Hidden entries, links and other directories in the directory of secrets are ignored."""
    (directory / "..data").mkdir()
    (directory / "..data" / "appid").write_text("wx1", encoding="utf-8")
    (directory / "appid").symlink_to(directory / "..data" / "appid")
    (directory / "lost+found").mkdir()
    secret_files(**{".gitignore": "*"})

    assert load_settings().model_fields_set == {"appid"}


@pytest.mark.parametrize("ending", ["\n", "\r\n", " \n\n", ""])
def test_a_newline_at_the_end_of_a_secret_file_is_removed(ending: str, secret_files: Write) -> None:
    """A newline at the end of a secret file is not part of the value."""
    secret_files(appid=f"wx1{ending}", app_secret=f"s3cret{ending}", encryption_keys=f"{KEY},{OTHER_KEY}{ending}")
    loaded = load_settings().require_app()

    assert loaded.secrets_of("wechat") == {AppId("wx1"): "s3cret"}
    assert len(loaded.encryption_keys) == 2


def test_a_missing_directory_of_secrets_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory of secrets that does not exist raises an error with its path."""
    monkeypatch.setenv("WXLOGIN_SECRETS_DIR", "/no/such/directory")

    assert "WXLOGIN_SECRETS_DIR" in refused()
    assert "/no/such/directory" in refused()


def test_a_secret_file_that_is_not_text_is_refused(directory: Path) -> None:
    """A secret file that is not text raises an error with its own name."""
    (directory / "app_secret").write_bytes(b"\xff\xfes3cret")
    text = refused()

    assert "app_secret" in text.lower()
    assert "APPS" not in text


@pytest.mark.parametrize("content", ["appid = wx1", "[", 'appid = "wx1"\nappid = "wx2"', "\x00", "= 5"])
def test_a_malformed_toml_file_is_refused(content: str, toml: Callable[[str], None]) -> None:
    """A malformed TOML file raises an error with its path."""
    toml(content)

    assert "WXLOGIN_CONFIG" in refused()
    assert "wxlogin.toml" in refused()


def test_a_missing_toml_file_is_refused(environment: Write) -> None:
    """A file in WXLOGIN_CONFIG that does not exist raises an error with its path."""
    environment(config="/no/such/file.toml")

    assert "WXLOGIN_CONFIG" in refused()
    assert "/no/such/file.toml" in refused()


def test_a_toml_file_of_another_encoding_is_refused(toml: Callable[[str], None]) -> None:
    """A TOML file that is not UTF-8 raises an error with the variable."""
    toml("")
    Path(os.environ["WXLOGIN_CONFIG"]).write_bytes('appid = "微信"'.encode("gb18030"))

    assert "WXLOGIN_CONFIG" in refused()


SIGNING = {
    "sym_key": "5ecretMark1",
    "sym_key_sn": "sn 1",
    "private_key": "5ecretMark2",
    "certificate": "a certificate",
    "certificate_sn": "sn 2",
}

BAD_LIMITS = [
    *("on", "OFF", "0", "600", "0/minute", "-1/minute", "1.5/minute", "600/0 minutes", "600/year", "600/", "/minute"),
    *("600/minute\n", "600/minute;20/second", "10000000/minute", "600/10000 days", "六百/minute", "٦٠٠/minute"),
]
MALFORMED = {
    "appid": ["wx 1", "微信", "a" * 65, "wx1\n"],
    "app_secret": [],
    "apps": [
        "wx1:secret",
        "[",
        "{}",
        '"wx1"',
        '["wx1"]',
        '[{"appid":"wx1"}]',
        '[{"secret":"s"}]',
        '[{"appid":"wx 1","secret":"s"}]',
        '[{"appid":"wx1","secret":"s"},{"appid":"wx1","secret":"t"}]',
        '[{"appid":"wx1","secret":""}]',
        '[{"appid":"wx1","secret":"s","name":"shop"}]',
        '[{"appid":1,"secret":2}]',
        '[{"appid":"wx1","secret":"s","signing":{}}]',
        '[{"appid":"wx1","secret":"s","signing":"key"}]',
        f'[{{"appid":"wx1","secret":"s","signing":{json.dumps(SIGNING | {"certificate_sn": ""})}}}]',
        f'[{{"appid":"wx1","secret":"s","signing":{json.dumps(SIGNING | {"serial": "1"})}}}]',
        "[" * 10_000,
    ],
    "wechat_url": [
        "api.weixin.qq.com",
        "ftp://api.weixin.qq.com",
        "https://",
        "https:///sns",
        "https://h/?a=b",
        "https://h/#a",
        "https://h:port",
        "https://h:99999",
        "https://two words",
        "https://[::1",
        "https://user:password@h/",
    ],
    "wechat_timeout_seconds": ["0", "-1", "nan", "inf", "3s", "three"],
    "database_url": [
        "wxlogin.db",
        "postgresql://host/wxlogin",
        "mysql+pymysql://host/wxlogin",
        "sqlite:///wxlogin.db",
        "postgresql+asyncpg://user:password@host:port/wxlogin",
        "sqlite+aiosqlite://wxlogin.db",
    ],
    "redis_url": [
        "host:6379",
        "http://host",
        "redis:/host",
        "redis://host:port/0",
        "redis://h1,h2",
        "redis://",
        "redis+cluster://",
        "redis+cluster://h1:1,",
        "redis+cluster://h1:1,:2",
        "redis+cluster://h1:1,h2:port",
        "redis+cluster://h1:1/1",
        "redis+clusters://h1:1",
        "redis+sentinel://h1:1",
        "redis+sentinel://h1:1/",
        "redis+sentinel://h1:1/master/zero",
        "redis+sentinel://user:pass/word@h1:1/master",
    ],
    "encryption_keys": ["secret", f"{KEY},secret", KEY[:-1], "钥匙", f"{KEY} {KEY}"],
    "session_idle_seconds": ["0", "-1", "nan", "inf", "7d", "1e30", "1e12"],
    "session_max_seconds": ["0", "-1", "nan", "inf", "30d", "1e30", "1e12"],
    "sessions_per_user": ["-1", "1.5", "many"],
    "trusted_proxies": ["not an address", "10.0.0.0/99", "300.1.1.1", "192.168.1.4/24", "fd00::1/64"],
    "login_rate_limit": BAD_LIMITS,
    "app_login_rate_limit": BAD_LIMITS,
    "clients": [
        "backend:secret",
        "[]",
        '"backend"',
        '{"backend":null}',
        '{"backend":5}',
        '{"backend":""}',
        '{"":"0123456789abcdef0123456789abcdef"}',
        f'{{"{"x" * 256}":"0123456789abcdef0123456789abcdef"}}',
        '{"backend":"0123456789abcdef0123456789abcde"}',
        '{"backend":{"secret":"0123456789abcdef0123456789abcde"}}',
        '{"backend":{"apps":["wx1"]}}',
        '{"backend":{"secret":"0123456789abcdef0123456789abcdef","apps":[]}}',
        '{"backend":{"secret":"0123456789abcdef0123456789abcdef","apps":"wx1"}}',
        '{"backend":{"secret":"0123456789abcdef0123456789abcdef","apps":["wx 1"]}}',
        '{"backend":{"secret":"0123456789abcdef0123456789abcdef","app":["wx1"]}}',
    ],
    "issuer": [
        "id.example.com",
        "http://id.example.com",
        "https://id.example.com/",
        "https://id.example.com/login",
        "https://id.example.com?a=b",
        "https://",
        "https://user@id.example.com",
        "https://id.example.com:port",
        "https://two words",
        "ftp://127.0.0.1",
    ],
    "signing_keys": [
        "key",
        "{}",
        '["key"]',
        "[{}]",
        '[{"kty":"EC","crv":"P-256","x":"x","y":"y"}]',
        '[{"kty":"RSA","crv":"P-256","x":"x","y":"y","d":"d"}]',
        '[{"kty":"EC","crv":"P-384","x":"x","y":"y","d":"d"}]',
        '[{"kty":"EC","crv":"P-256","x":"x","y":"y","d":"d","alg":"HS256"}]',
        '[{"kty":"EC","crv":"P-256","x":"x","y":"y","d":"d","use":"enc"}]',
        '[{"kty":"EC","crv":"P-256","x":"x","y":"y","d":"d","k":"k"}]',
        '[{"kty":"EC","crv":"P-256","x":"x","y":"y","d":5}]',
    ],
    "audiences": ["two words", "订单", "a" * 256],
    "assertion_audience": ["two words", "订单", "orders,payments", "a\n"],
    "jwt_seconds": ["0", "-1", "1.5", "nan", "5m", "86401"],
    "jwt_claims": ["phone", "openid phone", "OPENID"],
    "scan_page": ["/pages/scan/scan", "pages/scan/scan?a=1", "pages//scan", "页面"],
    "scan_env_version": ["released", "RELEASE", "dev"],
    "scan_match_number": ["nope", "2", "[]"],
    "push_token": ["ab", "a" * 33, "two words", "令牌令牌"],
    "push_aes_key": ["a" * 42, "a" * 44, f"{'a' * 42}=", f"{'a' * 42}+"],
    "push_forward_url": [
        "backend.example.com",
        "ftp://backend.example.com",
        "https://",
        "https://two words",
        "https://host:port/",
        "https://user@host/",
        "https://host/#part",
    ],
    "phone_unique": ["nope", "2", "[]"],
    "audit_days": ["0", "-1", "1.5", "x"],
    "audit_sessions": ["nope", "2", "[]"],
    "admin_keys": [
        "ann",
        "[]",
        '{"ann":"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}',
        '{"ann":{"sha256":"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}}',
        '{"ann":{"sha256":"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef","scopes":[]}}',
        '{"ann":{"sha256":"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef","scopes":["admin"]}}',
        '{"ann":{"sha256":"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde","scopes":["read"]}}',
        '{"ann":{"sha256":"0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF","scopes":["read"]}}',
        '{"ann b":{"sha256":"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef","scopes":["read"]}}',
        '{"ann":{"sha256":"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef","scopes":["read"]},"bob":{"sha256":"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef","scopes":["read"]}}',
    ],
    "webhooks": ["{}", "[{}]", '[{"url":"https://shop.example.com","secret":"plain"}]', "hooks"],
    "drain_seconds": ["-1", "nan", "inf", "15s", "1e6"],
    "docs": ["nope", "2", "[]"],
    "metrics": ["nope", "2", "[]"],
    "log_level": ["trace", "INFO", "20"],
    "log_format": ["xml", "JSON"],
}


def test_the_malformed_values_cover_every_setting() -> None:
    """The malformed values of this file include every setting."""
    assert set(MALFORMED) == set(Settings.model_fields)


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in MALFORMED.items() for value in values])
def test_a_malformed_value_is_named_with_an_example(name: str, value: str, environment: Write) -> None:
    """A malformed value raises an error with the name of its variable and an example."""
    environment(**{name: value})
    text = refused()

    assert text.startswith(f"WXLOGIN_{name.upper()}")
    assert f"example: WXLOGIN_{name.upper()}=" in text


TWO_FORMS = {"backend": "s" * 32, "shop": {"secret": "t" * 32, "apps": ["wx1", "wx2"]}}


def test_a_client_is_a_secret_or_an_object_with_apps(environment: Write) -> None:
    """A client may be a secret or an object with `apps`.

    Without `apps` it is a client of all apps, and the repr shows no secret.
    """
    environment(appid="wx1", app_secret="s", apps='[{"appid":"wx2","secret":"s"}]', clients=json.dumps(TWO_FORMS))
    clients = load_settings().clients

    assert {name: (client.secret.get_secret_value(), client.apps) for name, client in clients.items()} == {
        "backend": ("s" * 32, None),
        "shop": ("t" * 32, ["wx1", "wx2"]),
    }
    assert not re.search("ssss|tttt", repr(load_settings()))


@pytest.mark.parametrize("apps", ['["wx1","wx3"]', '["wx3"]'])
def test_a_clients_app_must_be_configured(apps: str, environment: Write) -> None:
    """An unknown appid of a client raises an error with the client's name and the configured appids."""
    environment(appid="wx1", app_secret="s", apps='[{"appid":"wx2","secret":"s"}]')
    environment(clients=f'{{"shop":{{"secret":"{"s" * 32}","apps":{apps}}}}}')
    text = refused()

    assert "WXLOGIN_CLIENTS: shop names the app wx3, which is not configured; configured: wx1, wx2\n" in text
    assert "example: WXLOGIN_CLIENTS=" in text


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8001", "http://127.200.0.9", "http://[::1]:8001", "https://localhost/wechat"]
)
def test_a_sandbox_accepts_short_secrets(url: str, environment: Write) -> None:
    """With a WeChat on this machine a client's secret may have any length."""
    environment(clients='{"backend":"s"}', wechat_url=url)

    assert load_settings().clients["backend"].secret.get_secret_value() == "s"


@pytest.mark.parametrize(
    "url", ["https://api.weixin.qq.com", "http://10.0.0.1", "http://localhost.example.com", "http://127.0.0.1.nip.io"]
)
def test_a_short_secret_is_refused(url: str, environment: Write) -> None:
    """With any other WeChat a short client secret raises an error, which does not show it."""
    environment(clients=json.dumps({"backend": "s" * 32, "shop": "t0p5ecret"}), wechat_url=url)
    text = refused()

    assert "WXLOGIN_CLIENTS: the secret of shop is shorter than 32 characters\n" in text
    assert "backend is" not in text
    assert "t0p5ecret" not in text


@pytest.mark.parametrize(
    ("text", "quota", "seconds"),
    [
        ("600/minute", 600, 60),
        ("2/second", 2, 1),
        ("20/5 seconds", 20, 5),
        ("20/5second", 20, 5),
        ("3/2hours", 3, 7200),
        ("9999999/9999 days", 9_999_999, 9999 * 86400),
    ],
)
def test_a_rate_limit_is_a_number_in_a_time(text: str, quota: int, seconds: int, environment: Write) -> None:
    """Both limits have the same format, and each has its own name."""
    environment(login_rate_limit=text, app_login_rate_limit=text)
    window = timedelta(seconds=seconds)

    assert load_settings().login_limit == RateLimit("login", quota, window)
    assert load_settings().app_login_limit == RateLimit("app-login", quota, window)


def test_an_address_has_a_limit_and_an_app_has_none_unless_it_is_set(environment: Write) -> None:
    """By default the limit of an address is 600 logins a minute, and an app has none. `off` removes a limit."""
    assert load_settings().login_limit == RateLimit("login", 600, timedelta(minutes=1))
    assert load_settings().app_login_limit is None

    environment(login_rate_limit="off")

    assert load_settings().login_limit is None


def test_all_malformed_settings_are_reported_at_once(environment: Write) -> None:
    """One error lists all malformed settings."""
    environment(appid="wx 1", log_level="loud")
    text = refused()

    assert "WXLOGIN_APPID" in text
    assert "WXLOGIN_LOG_LEVEL" in text


@every_setting
def test_every_example_is_a_valid_value(name: str, environment: Write) -> None:
    """The example of every setting is a valid value."""
    (example,) = Settings.model_fields[name].examples or []
    environment(**{name: KEY if name == "encryption_keys" else str(example)})

    assert load_settings().model_fields_set == {name}


@pytest.mark.parametrize(("given", "missing"), [("appid", "WXLOGIN_APP_SECRET"), ("app_secret", "WXLOGIN_APPID")])
def test_an_appid_and_its_secret_are_required_together(given: str, missing: str, environment: Write) -> None:
    """An appid without its secret, or a secret without its appid, raises an error with the missing variable."""
    environment(apps=TEXT_VALUES["apps"], **{given: TEXT_VALUES[given]})

    with pytest.raises(SettingsError, match=rf"^{missing} is missing.*\n  example: {missing}="):
        load_settings().require_app()


def test_a_service_needs_an_app() -> None:
    """Without an app the error names the variables, with an example."""
    with pytest.raises(SettingsError, match=r"WXLOGIN_APPID(?s:.*)WXLOGIN_APPS(?s:.*)example: WXLOGIN_APPID=wx"):
        load_settings().require_app()


def test_a_service_needs_a_key(environment: Write) -> None:
    """Without encryption keys the error names the variable and the command that generates a key."""
    environment(encryption_keys=" , ")

    with pytest.raises(SettingsError, match=r"WXLOGIN_ENCRYPTION_KEYS is missing(?s:.*)wxlogin keygen"):
        _ = load_settings().cipher


def test_apps_of_both_settings_are_combined(environment: Write) -> None:
    """The app of WXLOGIN_APPID is added to those of WXLOGIN_APPS."""
    environment(appid="wx1", app_secret="s1", apps='[{"appid":"wx2","secret":"s2"}]')

    assert load_settings().require_app().secrets_of("wechat") == {AppId("wx1"): "s1", AppId("wx2"): "s2"}


def test_several_apps_are_tables_in_toml(toml: Callable[[str], None]) -> None:
    """Each [[apps]] table in TOML is one app."""
    toml('[[apps]]\nappid = "wx1"\nsecret = "s1"\n\n[[apps]]\nappid = "wx2"\nsecret = "s2"\n')

    assert load_settings().require_app().secrets_of("wechat") == {AppId("wx1"): "s1", AppId("wx2"): "s2"}


def test_the_first_key_encrypts_and_all_decrypt(environment: Write) -> None:
    """The first encryption key encrypts, and all keys decrypt."""
    environment(encryption_keys=f"{KEY} , {OTHER_KEY},")
    cipher = load_settings().cipher

    assert Fernet(KEY).decrypt(cipher.encrypt(b"new")) == b"new"
    assert cipher.decrypt(Fernet(OTHER_KEY).encrypt(b"old")) == b"old"


def test_lists_may_have_spaces(environment: Write) -> None:
    """Spaces around the commas of a list are ignored."""
    environment(trusted_proxies=" 10.0.0.0/8 ,192.168.1.4, ::1 ,192.168.1.4/32")

    assert load_settings().trusted_proxies == ["10.0.0.0/8", "192.168.1.4", "::1", "192.168.1.4/32"]


def test_a_network_that_is_written_as_one_of_its_addresses_is_refused(environment: Write) -> None:
    """A network whose address has host bits raises an error with the probable value."""
    environment(trusted_proxies="10.0.0.0/8,192.168.1.4/24")

    assert "did you mean 192.168.1.0/24 or 192.168.1.4?" in refused()


def test_the_policy_is_in_seconds(environment: Write) -> None:
    """The policy has the values of the settings, in seconds."""
    environment(session_idle_seconds="90", session_max_seconds="3600.5", sessions_per_user="3")

    assert load_settings().policy == SessionPolicy(timedelta(seconds=90), timedelta(seconds=3600.5), 3)


def test_the_default_policy_is_that_of_the_domain() -> None:
    """The default settings give the default policy of the domain."""
    assert load_settings().policy == SessionPolicy()


PUSH_KEY = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"


def test_the_single_app_may_have_push(environment: Write) -> None:
    """WXLOGIN_PUSH_TOKEN and WXLOGIN_PUSH_AES_KEY are of the single app. Other apps have `push`, or none."""
    apps = [
        {"appid": "wx1", "secret": "s1", "push": {"token": "one"}},
        {"appid": "wx2", "secret": "s2", "push": {"token": "two", "aes_key": PUSH_KEY}},
        {"appid": "wx4", "secret": "s4"},
    ]
    environment(appid="wx3", app_secret="s3", push_token="three", push_aes_key=PUSH_KEY, apps=json.dumps(apps))
    push = load_settings().push_of("wechat")
    read = {
        app.value: (keys.token.get_secret_value(), keys.aes_key and keys.aes_key.get_secret_value())
        for app, keys in push.items()
    }

    assert read == {"wx1": ("one", None), "wx2": ("two", PUSH_KEY), "wx3": ("three", PUSH_KEY)}
    assert PUSH_KEY not in repr(push)


@pytest.mark.parametrize(
    ("given", "missing"),
    [({"push_aes_key": PUSH_KEY}, "WXLOGIN_PUSH_TOKEN"), ({"push_token": "token"}, "WXLOGIN_APPID")],
    ids=["a key alone", "no app"],
)
def test_push_needs_its_other_half(given: dict[str, str], missing: str, environment: Write) -> None:
    """A key without a Token, and a Token without an app, are an error with the name of what is missing."""
    environment(**given)
    with pytest.raises(SettingsError, match=missing):
        load_settings().push_of("wechat")


@pytest.mark.parametrize("push", [{}, {"aes_key": PUSH_KEY}, {"token": "a"}, {"token": "abc", "aes_key": "short"}])
def test_the_push_of_an_app_is_checked(push: dict[str, str], environment: Write) -> None:
    """An app's `push` needs a Token, and its values have the form of the WeChat console's."""
    environment(apps=json.dumps([{"appid": "wx1", "secret": "s1", "push": push}]))

    assert "push" in refused()


def test_an_app_may_have_signing_keys(environment: Write) -> None:
    """Signing keys belong to the app that they are set for. Other apps have none."""
    apps = [{"appid": "wx1", "secret": "s1", "signing": SIGNING}, {"appid": "wx2", "secret": "s2"}]
    environment(appid="wx3", app_secret="s3", apps=json.dumps(apps))
    signing = load_settings().signing_of("wechat")

    assert set(signing) == {AppId("wx1")}
    assert signing[AppId("wx1")].sym_key.get_secret_value() == SIGNING["sym_key"]
    assert signing[AppId("wx1")].private_key.get_secret_value() == SIGNING["private_key"]
    assert signing[AppId("wx1")].certificate_sn == "sn 2"


def test_signing_keys_are_a_table_in_toml(toml: Callable[[str], None]) -> None:
    """Signing keys in TOML may be PEM texts of several lines."""
    keys = "\n".join(f'{name} = """\n{value}\n"""' for name, value in SIGNING.items())
    toml(f'[[apps]]\nappid = "wx1"\nsecret = "s1"\n\n[apps.signing]\n{keys}\n')

    assert load_settings().signing_of("wechat")[AppId("wx1")].certificate == "a certificate\n"


@pytest.mark.parametrize("missing", SIGNING)
def test_signing_keys_are_required_together(missing: str, environment: Write) -> None:
    """Incomplete signing keys raise an error with the missing field, which shows no key."""
    kept = {name: value for name, value in SIGNING.items() if name != missing}
    environment(apps=json.dumps([{"appid": "wx1", "secret": "s1", "signing": kept}]))
    text = refused()

    assert f"signing.{missing}" in text
    assert MARK not in text


def test_no_repr_shows_a_signing_key(environment: Write) -> None:
    """Neither the settings nor the keys of an app show a signing key in their repr."""
    environment(apps=json.dumps([{"appid": "wx1", "secret": "s1", "signing": SIGNING}]))
    loaded = load_settings()

    for text in (repr(loaded), repr(loaded.signing_of("wechat")), repr(loaded.model_dump()), loaded.model_dump_json()):
        assert MARK not in text


def test_a_lease_is_longer_than_a_call_to_wechat(environment: Write) -> None:
    """A lease is long enough for a complete call to WeChat and for the calls to the store."""
    environment(wechat_timeout_seconds="7.5")

    assert load_settings().token_lease == timedelta(seconds=11.5)


SECRET_VALUES = {
    "app_secret": "{}",
    "apps": '[{{"appid":"wx1","secret":"{}"}}]',
    "database_url": "postgresql+asyncpg://user:{}@host/wxlogin",
    "redis_url": "redis+sentinel://:{}@host:6379,host:6380/master",
    "clients": '{{"backend":"{}-and-what-makes-it-long-enough"}}',
}
MARK = "5ecretMark"


def test_no_repr_shows_a_secret(environment: Write) -> None:
    """The repr and the dumps of the settings show no secret."""
    environment(encryption_keys=KEY, **{name: value.format(MARK) for name, value in SECRET_VALUES.items()})
    loaded = load_settings()

    for text in (repr(loaded), str(loaded), repr(loaded.model_dump()), loaded.model_dump_json()):
        assert MARK not in text
        assert KEY not in text


@pytest.mark.parametrize("source", ["variable", "secret file", "TOML"])
@pytest.mark.parametrize("name", [*SECRET_VALUES, "encryption_keys"])
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_no_error_shows_a_secret(name: str, source: str, data: st.DataObject) -> None:
    """The error for any value of a secret setting, from any source, does not show the value."""
    texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
    value = data.draw(texts) + MARK + data.draw(texts)
    if name in SECRET_VALUES and data.draw(st.booleans()):
        value = SECRET_VALUES[name].format(value)
    with pytest.MonkeyPatch.context() as patch:
        _give(name, value, source, patch)
        text = _output_of_settings()

    assert MARK not in text


def _give(name: str, value: str, source: str, patch: pytest.MonkeyPatch) -> None:
    secret = Path(os.environ["WXLOGIN_SECRETS_DIR"]) / name
    secret.unlink(missing_ok=True)
    if source == "variable":
        patch.setenv(f"WXLOGIN_{name.upper()}", value)
    elif source == "secret file":
        secret.write_text(value, encoding="utf-8")
    else:
        path = secret.parent.parent / "wxlogin.toml"
        path.write_text(f"{name} = {value}\n", encoding="utf-8")
        patch.setenv("WXLOGIN_CONFIG", str(path))


def _output_of_settings() -> str:
    try:
        return repr(load_settings())
    except SettingsError as error:
        return f"{error} {error!r}"


KEY_PAIR = '[{"kty":"EC","crv":"P-256","x":"x","y":"y","d":"5ecret"}]'
SIGNED = {"issuer": "https://id.example.com", "signing_keys": KEY_PAIR, "audiences": "orders,payments"}


def test_signed_tokens_are_off_by_default() -> None:
    """Without settings no audience can have a token, and an issuer alone changes nothing."""
    assert load_settings().signed_tokens.audiences == frozenset()
    assert Settings.model_validate({"issuer": "http://127.0.0.1:8000"}).signed_tokens.audiences == frozenset()


def test_signed_tokens_have_a_policy(environment: Write) -> None:
    """The policy of signed tokens is that of the settings."""
    environment(**SIGNED, assertion_audience="payments", jwt_seconds="60", jwt_claims="unionid")
    policy = load_settings().signed_tokens

    assert policy == SignedTokenPolicy(
        "https://id.example.com",
        frozenset({"orders", "payments"}),
        timedelta(minutes=1),
        frozenset({IdentityClaim.UNIONID}),
    )


@pytest.mark.parametrize("absent", SIGNED)
def test_signed_tokens_need_all_three_settings(absent: str, environment: Write) -> None:
    """If one of the three settings is missing that a signed token needs, the error names it. An issuer is no half."""
    environment(**{name: value for name, value in SIGNED.items() if name != absent})

    with pytest.raises(SettingsError, match=f"^WXLOGIN_{absent.upper()} is missing"):
        load_settings().signed_tokens  # noqa: B018  # raises


@pytest.mark.parametrize("audiences", ["payments", "order", "orders2"])
def test_the_assertion_is_for_one_of_the_audiences(audiences: str, environment: Write) -> None:
    """An audience of the assertion that no token may have is refused."""
    environment(**SIGNED | {"audiences": audiences}, assertion_audience="orders")

    with pytest.raises(SettingsError, match=r"^WXLOGIN_ASSERTION_AUDIENCE: is not one of WXLOGIN_AUDIENCES"):
        load_settings().signed_tokens  # noqa: B018  # raises


def test_an_assertion_needs_signed_tokens(environment: Write) -> None:
    """An audience of the assertion alone is refused."""
    environment(assertion_audience="orders")

    with pytest.raises(SettingsError, match="WXLOGIN_ISSUER is missing"):
        load_settings().signed_tokens  # noqa: B018  # raises


def test_a_signing_key_is_not_shown(environment: Write) -> None:
    """The repr of the settings has no signing key, and neither has the error about a wrong one."""
    environment(**SIGNED)
    shown = repr(load_settings())
    environment(signing_keys=KEY_PAIR.replace("EC", "5ecret"))

    assert "5ecret" not in shown
    assert "5ecret" not in refused()
