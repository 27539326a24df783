"""The types of settings, each with its check."""

import ipaddress
import json
import re
from base64 import b64decode
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Annotated
from urllib.parse import urlsplit

from cryptography.fernet import Fernet
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from domain.errors import WxLoginError
from domain.event import EventType
from domain.identity import AppId
from domain.rate_limit import RateLimit


def _from_json(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise ValueError("is not JSON") from None


def check_network(value: str) -> str:
    """Check an address, or a network in CIDR notation."""
    try:
        address, network = ipaddress.ip_interface(value).ip, ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise ValueError("is not an address or a network") from None
    if "/" in value and address != network.network_address:  # uvicorn would take it for a name, and never meet it
        raise ValueError(f"{value} is an address in a network; did you mean {network} or {address}?")
    return value


def _check_address(url: str) -> None:
    try:
        urlsplit(url).port  # noqa: B018  # raises
    except ValueError:
        raise ValueError("has a host or a port that cannot be one") from None


def check_http_url(value: str) -> str:
    """Check an HTTP URL. It must not have a user name, which would not be sent."""
    _check_address(value)
    if urlsplit(value).username is not None:
        raise ValueError("has a user name in it, which is not supported")
    return value


def check_origin(value: str) -> str:
    """Check the origin of a public URL: https, or http on this machine (RFC 8414 section 2)."""
    check_http_url(value)
    if value.startswith("http://") and not is_loopback(urlsplit(value).hostname):
        raise ValueError("must start with https://; only on this machine may it start with http://")
    return value


def is_loopback(host: str | None) -> bool:
    """Return whether the host of a URL is this machine: localhost, 127.0.0.0/8 or ::1."""
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def check_appid(value: str) -> str:
    """Check an appid."""
    try:
        return AppId(value).value
    except WxLoginError as error:
        raise ValueError(error.detail) from error


def check_rate_limit(value: str) -> str:
    """Check a rate limit."""
    rate_limit_of("", value)
    return value


def rate_limit_of(name: str, text: str) -> RateLimit | None:
    """Parse `off`, `<number>/<unit>` or `<number>/<number> <unit>`. Raises ValueError."""
    if text == "off":
        return None
    if not (match := re.fullmatch(r"([1-9]\d{0,6})/(?:([1-9]\d{0,3}) ?)?(second|minute|hour|day)s?", text)):
        raise ValueError("is neither `off` nor a number of logins in a time")
    quota, times, unit = match.groups()
    return RateLimit(name, int(quota), int(times or 1) * timedelta(**{f"{unit}s": 1}))


def check_webhook_url(value: SecretStr) -> SecretStr:
    """Check the URL of a webhook, which may contain a secret."""
    url = value.get_secret_value()
    if not re.fullmatch(r"https?://[^\s/?#]+[^\s#]*", url):
        raise ValueError("must start with https:// or http://, and have a host and no fragment")
    check_http_url(url)
    return value


def check_webhook_secret(value: SecretStr) -> SecretStr:
    """Check the secret of a webhook, in the form of Standard Webhooks."""
    prefix, _, encoded = value.get_secret_value().partition("_")
    try:
        size = len(b64decode(encoded, validate=True))
    except ValueError:
        size = 0
    if prefix != "whsec" or not 24 <= size <= 64:
        raise ValueError("is not whsec_ and the base64 of 24 to 64 random bytes")
    return value


def check_event_pattern(value: str) -> str:
    """Check a pattern of types of events."""
    if not any(fnmatchcase(each, value) for each in EventType):
        raise ValueError(f"{value} matches no type of event; there are {', '.join(EventType)}")
    return value


def url_of(*schemes: str) -> AfterValidator:
    """Return the type of URLs with one of the schemes."""

    def check(value: SecretStr) -> SecretStr:
        if not value.get_secret_value().startswith(tuple(f"{scheme}://" for scheme in schemes)):
            raise ValueError(f"must start with {' or '.join(f'{scheme}://' for scheme in schemes)}")
        if re.match(r"sqlite\+aiosqlite://[^/]", value.get_secret_value()):
            raise ValueError("must have three slashes before a relative path and four before an absolute one")
        _check_address(value.get_secret_value())
        return value

    return AfterValidator(check)


REDIS_SCHEMES = ("redis", "rediss", "redis+cluster", "rediss+cluster", "redis+sentinel", "rediss+sentinel")
REDIS_PATHS = {
    "": (r".*", ""),
    "cluster": (r"/?", "must end after the last host: a cluster has no databases"),
    "sentinel": (r"/[^/]+(/\d*)?", "must name the master, as in redis+sentinel://host:26379,host:26379/master"),
}
"""By kind, what follows the hosts, and what is wrong with anything else."""


def check_redis_url(value: SecretStr) -> SecretStr:
    """Check a URL of one Redis, of a cluster's nodes, or of a master's sentinels."""
    scheme, _, rest = value.get_secret_value().partition("://")
    if scheme not in REDIS_SCHEMES or not rest:
        raise ValueError(f"must start with {', '.join(f'{each}://' for each in REDIS_SCHEMES)}")
    kind = scheme.partition("+")[2]
    pattern, wrong = REDIS_PATHS[kind]
    authority, path = re.fullmatch(r"([^/?#]*)([^?#]*).*", rest, re.DOTALL).groups()  # type: ignore[union-attr]
    hosts = authority.rpartition("@")[2].split(",")
    if kind and not all(re.match(r"[^:]", host) for host in hosts):
        raise ValueError(f"must have its hosts separated by commas, as in redis+{kind}://host:6379,host:6380")
    if not kind and len(hosts) > 1:
        raise ValueError("has several hosts, which is for redis+cluster:// and redis+sentinel://")
    for host in hosts:
        _check_address(f"//{host}")
    if not re.fullmatch(pattern, path):
        raise ValueError(wrong)
    return value


def check_fernet_key(value: SecretStr) -> SecretStr:
    """Check a key of `wxlogin keygen`."""
    try:
        if not re.fullmatch(r"[A-Za-z0-9_-]{43}=", value.get_secret_value()):
            raise ValueError
        Fernet(value.get_secret_value())
    except ValueError:
        raise ValueError("is not a key of `wxlogin keygen`") from None
    return value


def check_sha256(value: SecretStr) -> SecretStr:
    """Check a SHA-256 in hex."""
    if not re.fullmatch(r"[0-9a-f]{64}", value.get_secret_value()):
        raise ValueError("is not a SHA-256 of 64 hex digits in lower case")
    return value


def check_push_token(value: SecretStr) -> SecretStr:
    """Check a Token of the message push, as the WeChat console accepts it."""
    if not re.fullmatch(r"[A-Za-z0-9]{3,32}", value.get_secret_value()):
        raise ValueError("must be the Token of the WeChat console: 3 to 32 letters and digits")
    return value


def check_push_aes_key(value: SecretStr) -> SecretStr:
    """Check an EncodingAESKey of the message push."""
    if not re.fullmatch(r"[A-Za-z0-9]{43}", value.get_secret_value()):
        raise ValueError("must be the EncodingAESKey of the WeChat console: 43 letters and digits")
    return value


Seconds = Annotated[float, Field(gt=0, le=3_155_760_000, allow_inf_nan=False)]  # a hundred years
Commas = (NoDecode, BeforeValidator(_split))
Json = (NoDecode, BeforeValidator(_from_json))
