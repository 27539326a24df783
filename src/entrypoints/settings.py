"""The settings, from the environment, secret files and a TOML file, in this order."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from difflib import get_close_matches
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from cryptography.fernet import Fernet, MultiFernet
from pydantic import (
    AfterValidator,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from application.scan_pictures import ScanTarget
from domain.admin import Admin
from domain.event import EventPolicy
from domain.identity import AppId
from domain.rate_limit import RateLimit
from domain.session import SessionPolicy
from domain.signed_token import IdentityClaim, SignedTokenPolicy
from domain.webhook import WebhookEndpoint
from entrypoints.setting_models import (
    AdminKey,
    AdminName,
    App,
    Audience,
    OAuthClient,
    PushSecrets,
    Signing,
    SigningKey,
    Webhook,
)
from entrypoints.setting_sources import CONFIG_VARIABLE, PREFIX, SECRETS_VARIABLE, SecretFiles, TomlFile
from entrypoints.setting_sources import SettingsError as SettingsError
from entrypoints.setting_types import (
    Commas,
    Json,
    Seconds,
    check_appid,
    check_fernet_key,
    check_http_url,
    check_network,
    check_origin,
    check_push_aes_key,
    check_push_token,
    check_rate_limit,
    check_redis_url,
    is_loopback,
    rate_limit_of,
    url_of,
)

CLIENT_SECRET_LENGTH = 32
"""The least number of characters of an OAuth client's secret, except beside a WeChat on loopback, a sandbox."""


HttpUrl = Annotated[str, Field(pattern=r"^https?://[^\s/?#]+[^\s#]*$"), AfterValidator(check_http_url)]
"""The URL of an HTTP server, which may have a path and a query."""


class Settings(BaseSettings):
    """All settings, checked. The `repr` contains no secret."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="forbid", frozen=True, hide_input_in_errors=True, env_ignore_empty=True
    )

    appid: Annotated[str, AfterValidator(check_appid)] | None = Field(None, examples=["wx0123456789abcdef"])
    app_secret: Annotated[SecretStr, Field(min_length=1)] | None = Field(
        None, examples=["0123456789abcdef0123456789abcdef"]
    )
    apps: Annotated[list[App], *Json] = Field(
        [], examples=['[{"appid":"wx0123456789abcdef","secret":"0123456789abcdef0123456789abcdef"}]']
    )
    wechat_url: Annotated[str, Field(pattern=r"^https?://[^\s/?#]+[^\s?#]*$"), AfterValidator(check_http_url)] = Field(
        "https://api.weixin.qq.com", examples=["https://api.weixin.qq.com"]
    )
    wechat_timeout_seconds: Seconds = Field(3.0, examples=["3.0"])
    database_url: Annotated[
        SecretStr, url_of("sqlite+aiosqlite", "postgresql+asyncpg", "mysql+asyncmy", "mariadb+asyncmy")
    ] = Field(
        SecretStr("sqlite+aiosqlite:///wxlogin.db"),
        examples=["postgresql+asyncpg://user:password@host/wxlogin"],
    )
    redis_url: Annotated[SecretStr, AfterValidator(check_redis_url)] | None = Field(
        None, examples=["redis://host:6379/0"]
    )
    encryption_keys: Annotated[list[Annotated[SecretStr, AfterValidator(check_fernet_key)]], *Commas] = Field(
        [], examples=["<the output of `wxlogin keygen`>"]
    )
    session_idle_seconds: Seconds = Field(604800, examples=["604800"])
    session_max_seconds: Seconds = Field(2592000, examples=["2592000"])
    sessions_per_user: Annotated[int, Field(ge=0)] = Field(12, examples=["12"])
    trusted_proxies: Annotated[list[Annotated[str, AfterValidator(check_network)]], *Commas] = Field(
        [], examples=["10.0.0.0/8,192.168.1.4"]
    )
    login_rate_limit: Annotated[str, AfterValidator(check_rate_limit)] = Field("600/minute", examples=["600/minute"])
    app_login_rate_limit: Annotated[str, AfterValidator(check_rate_limit)] = Field("off", examples=["5000/minute"])
    clients: Annotated[dict[Annotated[str, Field(min_length=1, max_length=255)], OAuthClient], *Json] = Field(
        {}, examples=['{"backend":"a-random-secret-of-at-least-32-characters"}']
    )
    issuer: Annotated[str, Field(pattern=r"^https?://[^\s/?#]+$"), AfterValidator(check_origin)] | None = Field(
        None, examples=["https://id.example.com"]
    )
    signing_keys: Annotated[list[SigningKey], *Json] = Field(
        [], examples=['[{"kty":"EC","crv":"P-256","x":"...","y":"...","d":"..."}]']
    )
    audiences: Annotated[list[Audience], *Commas] = Field([], examples=["orders,payments"])
    assertion_audience: Audience | None = Field(None, examples=["orders"])
    jwt_seconds: Annotated[int, Field(ge=1, le=86400)] = Field(300, examples=["300"])
    jwt_claims: Annotated[list[IdentityClaim], *Commas] = Field([], examples=["openid,unionid"])
    scan_page: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$")] = Field(
        "pages/scan/scan", examples=["pages/scan/scan"]
    )
    scan_env_version: Literal["release", "trial", "develop"] = Field("release", examples=["release"])
    scan_match_number: bool = Field(True, examples=["true"])
    push_token: Annotated[SecretStr, AfterValidator(check_push_token)] | None = Field(
        None, examples=["a1b2c3d4e5f6a7b8c9d0e1f2a3b4c5d6"]
    )
    push_aes_key: Annotated[SecretStr, AfterValidator(check_push_aes_key)] | None = Field(
        None, examples=["abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"]
    )
    push_forward_url: HttpUrl | None = Field(None, examples=["https://backend.example.com/wechat"])
    phone_unique: bool = Field(False, examples=["true"])
    audit_days: Annotated[int, Field(ge=1, le=36500)] = Field(180, examples=["180"])
    audit_sessions: bool = Field(False, examples=["true"])
    admin_keys: Annotated[dict[AdminName, AdminKey], *Json] = Field(
        {},
        examples=[
            '{"ann":{"sha256":"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef","scopes":["read"]}}'
        ],
    )
    webhooks: Annotated[list[Webhook], *Json] = Field(
        [],
        examples=[
            '[{"url":"https://shop.example.com/hooks","secret":"whsec_YS1yYW5kb20tc2VjcmV0LW9mLTMyLWJ5dGVzLi4uLi4="}]'
        ],
    )
    drain_seconds: Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)] = Field(0.0, examples=["15"])
    docs: bool = Field(True, examples=["true"])
    metrics: bool = Field(True, examples=["true"])
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", examples=["info"])
    log_format: Literal["json", "console"] | None = Field(None, examples=["json"])

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # pydantic's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # pydantic's signature
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources: environment, secret files, TOML file."""
        return init_settings, env_settings, SecretFiles(settings_cls), TomlFile(settings_cls)

    @field_validator("apps")
    @classmethod
    def _check_apps(cls, apps: list[App]) -> list[App]:
        appids = [app.appid for app in apps]
        if repeated := sorted({appid for appid in appids if appids.count(appid) > 1}):
            raise ValueError(f"has {', '.join(repeated)} more than once")
        return apps

    @field_validator("clients")
    @classmethod
    def _check_clients(cls, clients: dict[str, OAuthClient], info: ValidationInfo) -> dict[str, OAuthClient]:
        """Check what depends on other fields. pydantic omits a malformed field from `info.data`, and reports it."""
        if info.data.keys() >= {"appid", "apps", "wechat_url"}:
            wrong = [*_short_secrets(clients, info.data), *_unknown_apps(clients, info.data)]
            if wrong:
                raise ValueError("; ".join(wrong))
        return clients

    @field_validator("admin_keys")
    @classmethod
    def _check_admin_keys(cls, keys: dict[str, AdminKey]) -> dict[str, AdminKey]:
        """Check that each key has one owner: the audit trail names the owner."""
        owners: dict[str, str] = {}
        for name, key in keys.items():
            if (other := owners.setdefault(key.sha256.get_secret_value(), name)) != name:
                raise ValueError(f"{other} and {name} have the same key")
        return keys

    @property
    def admins(self) -> dict[str, Admin]:
        """Return the admins, by the SHA-256 of their keys."""
        return {key.sha256.get_secret_value(): Admin(name, key.scopes) for name, key in self.admin_keys.items()}

    @field_validator("webhooks")
    @classmethod
    def _check_webhooks(cls, webhooks: list[Webhook]) -> list[Webhook]:
        if len({webhook.url for webhook in webhooks}) < len(webhooks):
            raise ValueError("has a url more than once")
        return webhooks

    @property
    def platforms(self) -> dict[AppId, str]:
        """Return the platforms of all apps, by appid."""
        return {AppId(app.appid): app.platform for app in self._all_apps()}

    def secrets_of(self, platform: str) -> dict[AppId, str]:
        """Return the secrets of the apps of one platform, by appid. They are for its adapters alone."""
        return {AppId(app.appid): app.secret.get_secret_value() for app in self._apps_of(platform)}

    def signing_of(self, platform: str) -> dict[AppId, Signing]:
        """Return the signing keys of the apps of one platform with API security, by appid."""
        return {AppId(app.appid): app.signing for app in self._apps_of(platform) if app.signing}

    def push_of(self, platform: str) -> dict[AppId, PushSecrets]:
        """Return the secrets of the message push of the apps of one platform that have some, by appid.

        Raises SettingsError for those of the single app if a part is missing.
        """
        if self.push_aes_key and not self.push_token:
            raise missing("push_token", "WXLOGIN_PUSH_AES_KEY goes with it")
        if self.push_token and not self.appid:
            raise missing("appid", "WXLOGIN_PUSH_TOKEN is for its app; an app of WXLOGIN_APPS has `push`")
        return {AppId(app.appid): app.push for app in self._apps_of(platform) if app.push}

    def _apps_of(self, platform: str) -> list[App]:
        return [app for app in self._all_apps() if app.platform == platform]

    def _all_apps(self) -> list[App]:
        """Return the app of WXLOGIN_APPID and those of WXLOGIN_APPS, which has precedence for an appid in both."""
        push = PushSecrets(token=self.push_token, aes_key=self.push_aes_key) if self.push_token else None
        single = [App(appid=self.appid, secret=self.app_secret, push=push)] if self.appid and self.app_secret else []
        return list({app.appid: app for app in [*single, *self.apps]}.values())

    @property
    def token_lease(self) -> timedelta:
        """Return the maximum time to fetch an access token: one call to WeChat, and two to the store."""
        return timedelta(seconds=self.wechat_timeout_seconds + 4)

    @property
    def phone_limit(self) -> timedelta:
        """Return the maximum time to bind a phone number after a login: one call to WeChat, and the stores."""
        return timedelta(seconds=self.wechat_timeout_seconds + 3)

    @property
    def policy(self) -> SessionPolicy:
        """Return the policy of sessions."""
        return SessionPolicy(
            idle=timedelta(seconds=self.session_idle_seconds),
            max_age=timedelta(seconds=self.session_max_seconds),
            per_user=self.sessions_per_user,
        )

    @property
    def signed_tokens(self) -> SignedTokenPolicy:
        """Return the policy of signed tokens. Without an audience, none are issued.

        Raises SettingsError if only a part of what they need is set.
        """
        needed = ("issuer", "signing_keys", "audiences")
        if self.signing_keys or self.audiences or self.assertion_audience:
            for absent in [field for field in needed if not getattr(self, field)]:
                raise missing(absent, "tokens are signed with WXLOGIN_ISSUER, WXLOGIN_SIGNING_KEYS, WXLOGIN_AUDIENCES")
        if self.assertion_audience not in (None, *self.audiences):
            raise SettingsError(
                f"WXLOGIN_ASSERTION_AUDIENCE: is not one of WXLOGIN_AUDIENCES.\n"
                f"  example: WXLOGIN_ASSERTION_AUDIENCE={self.audiences[0]}"
            )
        return SignedTokenPolicy(
            issuer=self.issuer or "",
            audiences=frozenset(self.audiences),
            life=timedelta(seconds=self.jwt_seconds),
            identity_claims=frozenset(self.jwt_claims),
        )

    @property
    def event_policy(self) -> EventPolicy:
        """Return which events are kept, and who is sent them."""
        return EventPolicy(audit_sessions=self.audit_sessions, subscriptions=self.webhook_subscriptions)

    @property
    def scan_target(self) -> ScanTarget:
        """Return the page that a scanned code opens."""
        return ScanTarget(self.scan_page, self.scan_env_version)

    @property
    def webhook_endpoints(self) -> list[WebhookEndpoint]:
        """Return the endpoints of webhooks."""
        return [webhook.endpoint for webhook in self.webhooks]

    @property
    def webhook_subscriptions(self) -> dict[str, tuple[str, ...]]:
        """Return the patterns of events by the id of the endpoint, for EventPolicy."""
        return {webhook.endpoint.id: tuple(webhook.events) for webhook in self.webhooks}

    @property
    def login_limit(self) -> RateLimit | None:
        """Return the rate limit of a client address, or None."""
        return rate_limit_of("login", self.login_rate_limit)

    @property
    def app_login_limit(self) -> RateLimit | None:
        """Return the rate limit of an app, or None."""
        return rate_limit_of("app-login", self.app_login_rate_limit)

    @property
    def cipher(self) -> MultiFernet:
        """Return the cipher of the encryption keys: the first encrypts. Raises SettingsError if there is none."""
        if not self.encryption_keys:
            raise missing("encryption_keys", "without one, no session_key can be stored; `wxlogin keygen` prints one")
        return MultiFernet([Fernet(key.get_secret_value()) for key in self.encryption_keys])

    def require_admin_keys(self) -> Self:
        """Return the settings themselves. Raises SettingsError if no admin key is configured."""
        if not self.admin_keys:
            raise missing("admin_keys", "no one could use the admin API; `wxlogin keygen --admin NAME` prints a key")
        return self

    def require_app(self) -> Self:
        """Return the settings themselves. Raises SettingsError if no app is configured."""
        if (self.appid is None) != (self.app_secret is None):
            raise missing("app_secret" if self.appid else "appid", "WXLOGIN_APPID and WXLOGIN_APP_SECRET go together")
        if not self.platforms:
            raise missing("appid", "there is no app; set WXLOGIN_APPID and WXLOGIN_APP_SECRET, or WXLOGIN_APPS")
        return self


def _short_secrets(clients: dict[str, OAuthClient], others: dict[str, Any]) -> list[str]:
    """Return what is wrong with the lengths of the secrets. A sandbox on this machine guards nothing."""
    if is_loopback(urlsplit(others["wechat_url"]).hostname):
        return []
    return [
        f"the secret of {name} is shorter than {CLIENT_SECRET_LENGTH} characters"
        for name, client in clients.items()
        if len(client.secret.get_secret_value()) < CLIENT_SECRET_LENGTH
    ]


def _unknown_apps(clients: dict[str, OAuthClient], others: dict[str, Any]) -> list[str]:
    """Return which apps of clients are not configured: a misspelt appid would make every token inactive, silently."""
    configured = {app.appid for app in others["apps"]} | {others["appid"]} - {None}
    return [
        f"{name} names the app {app}, which is not configured; configured: {', '.join(sorted(configured))}"
        for name, client in clients.items()
        for app in client.apps or ()
        if configured and app not in configured
    ]


def missing(field: str, why: str) -> SettingsError:
    """Return the error for a `field` that is not set."""
    return SettingsError(f"{_variable(field)} is missing: {why}.\n  example: {_example(field)}")


def unknown(name: str, known: set[str]) -> SettingsError:
    """Return the error for an unknown setting `name`."""
    meant = "".join(f"; did you mean {each}?" for each in get_close_matches(name, known, n=1))
    return SettingsError(f"{name} is not a setting{meant}\n  settings: {', '.join(sorted(known))}")


def load_settings() -> Settings:
    """Return the settings of this process. Raises SettingsError for unknown and malformed ones."""
    known = {_variable(field) for field in Settings.model_fields} | {CONFIG_VARIABLE, SECRETS_VARIABLE}
    for name in sorted(os.environ):
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            raise unknown(name, known)
    with explaining_wrong_settings():
        return Settings()


@contextmanager
def explaining_wrong_settings() -> Iterator[None]:
    """Raise SettingsError for a ValidationError of the block, which builds Settings."""
    try:
        yield
    except ValidationError as error:
        raise SettingsError("\n".join(_explain(problem) for problem in error.errors())) from None


def _explain(problem: Any) -> str:
    field, *inner = (str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden" and not inner:
        return str(unknown(field, set(Settings.model_fields)))
    where = ".".join(inner)
    message = problem["msg"].removeprefix("Value error, ")
    return f"{_variable(field)}{f' ({where})' if where else ''}: {message}\n  example: {_example(field)}"


def _variable(field: str) -> str:
    return PREFIX + field.upper()


def _example(field: str) -> str:
    info = Settings.model_fields.get(field)
    return f"{_variable(field)}={info.examples[0]}" if info and info.examples else "see the README"
