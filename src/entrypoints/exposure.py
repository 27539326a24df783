"""Find secrets that cross a network in the clear, or are in files that others can read."""

import os
import stat
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, urlsplit

from entrypoints.setting_sources import CONFIG_VARIABLE, PREFIX, SECRETS_VARIABLE
from entrypoints.setting_types import is_loopback
from entrypoints.settings import Settings

SECRETS = {
    "app_secret",
    "apps",
    "clients",
    "encryption_keys",
    "database_url",
    "push_aes_key",
    "push_token",
    "redis_url",
    "signing_keys",
    "webhooks",
}
"""The settings that hold a secret, or may."""

NO_TLS = {"", "0", "false", "disable", "allow", "prefer"}
"""Values of a driver's option with which a connection is not encrypted, or need not be."""


def exposures(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield what is exposed, with a hint how to protect it. No text contains a secret."""
    wechat = urlsplit(settings.wechat_url)
    if wechat.scheme == "http" and _is_remote([wechat.hostname]):
        yield (
            "WeChat",
            "AppSecrets and session_keys cross the network in the clear\n"
            "  hint: WXLOGIN_WECHAT_URL with https:// in place of http://",
        )
    if settings.redis_url and _is_bare_redis(urlsplit(settings.redis_url.get_secret_value())):
        yield (
            "session store",
            "sessions and Redis's password cross the network in the clear\n"
            "  hint: WXLOGIN_REDIS_URL with rediss in place of redis",
        )
    if _is_bare_database(urlsplit(settings.database_url.get_secret_value())):
        yield (
            "database",
            "users and the database's password may cross the network in the clear\n"
            "  hint: WXLOGIN_DATABASE_URL with ?ssl=require (PostgreSQL) or ?ssl_ca=/path/to/ca.pem (MySQL, MariaDB)",
        )
    for path in _secret_files():
        if path.stat().st_mode & stat.S_IROTH:
            yield "secrets", f"every user of this machine can read {path}\n  hint: chmod o-r {path}"


def _is_remote(hosts: Iterable[str | None]) -> bool:
    """Return whether any of them is another machine; a socket is none."""
    return any(host and not host.startswith("/") and not is_loopback(host) for host in hosts)


def _is_bare_redis(url: SplitResult) -> bool:
    hosts = url.netloc.rpartition("@")[2].split(",")
    return not url.scheme.startswith("rediss") and _is_remote(urlsplit(f"//{host}").hostname for host in hosts)


def _is_bare_database(url: SplitResult) -> bool:
    options = parse_qsl(url.query)
    named = [urlsplit(f"//{value}").hostname for name, value in options if name == "host" and not value.startswith("/")]
    encrypted = any(name.startswith("ssl") and value.lower() not in NO_TLS for name, value in options)
    return not encrypted and _is_remote([url.hostname, *named])


def _secret_files() -> Iterator[Path]:
    """Yield the configured files that contain a secret. /run/secrets belongs to the container, and is not checked."""
    config, directory = os.environ.get(CONFIG_VARIABLE), os.environ.get(SECRETS_VARIABLE)
    if config and SECRETS & tomllib.loads(Path(config).read_text(encoding="utf-8")).keys():
        yield Path(config)
    if directory:
        files = sorted(path for path in Path(directory).iterdir() if path.is_file())
        yield from (path for path in files if path.name.lower().removeprefix(PREFIX.lower()) in SECRETS)
