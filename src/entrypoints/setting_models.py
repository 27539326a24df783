"""The settings that are objects: apps, OAuth clients, keys and webhooks."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from domain.admin import Scope
from domain.webhook import WebhookEndpoint
from entrypoints.setting_types import (
    check_appid,
    check_event_pattern,
    check_push_aes_key,
    check_push_token,
    check_sha256,
    check_webhook_secret,
    check_webhook_url,
)

Audience = Annotated[str, Field(pattern=r"^[!-+\--~]{1,255}$")]
"""The audience of a JWT: printable ASCII without commas."""


AdminName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._@-]{1,64}$")]
"""The name of an admin key, as the audit trail has it."""


class Signing(BaseModel):
    """The keys of a mini-program with API security. An sn is the serial number of a key in the WeChat console."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sym_key: SecretStr
    sym_key_sn: Annotated[str, Field(min_length=1)]
    private_key: SecretStr
    certificate: Annotated[str, Field(min_length=1)]
    certificate_sn: Annotated[str, Field(min_length=1)]


class PushSecrets(BaseModel):
    """The Token and the EncodingAESKey of a mini-program's message push, from the WeChat console."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    token: Annotated[SecretStr, AfterValidator(check_push_token)]
    aes_key: Annotated[SecretStr, AfterValidator(check_push_aes_key)] | None = None


class App(BaseModel):
    """The credentials of a mini-program, for the adapters of its platform. The container knows the platforms."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    platform: Annotated[str, Field(min_length=1)] = "wechat"
    appid: Annotated[str, AfterValidator(check_appid)]
    secret: Annotated[SecretStr, Field(min_length=1)]
    signing: Signing | None = None
    push: PushSecrets | None = None


class SigningKey(BaseModel):
    """A private key that signs tokens: a JSON Web Key (RFC 7517) on P-256."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kty: Literal["EC"]
    crv: Literal["P-256"]
    x: str
    y: str
    d: SecretStr
    use: Literal["sig"] = "sig"
    alg: Literal["ES256"] = "ES256"
    kid: str | None = None

    @property
    def jwk(self) -> dict[str, str]:
        """Return the key with its secret part, for the signer."""
        return self.model_dump(exclude={"d"}, exclude_none=True) | {"d": self.d.get_secret_value()}


class OAuthClient(BaseModel):
    """A backend that introspects and revokes the tokens of `apps`, or of all apps if `apps` is absent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    secret: Annotated[SecretStr, Field(min_length=1)]
    apps: Annotated[list[Annotated[str, AfterValidator(check_appid)]], Field(min_length=1)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_secret(cls, value: object) -> object:
        return {"secret": value} if isinstance(value, str) else value


class AdminKey(BaseModel):
    """An admin key: its SHA-256 in hex, and what it allows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: Annotated[SecretStr, AfterValidator(check_sha256)]
    scopes: Annotated[frozenset[Scope], Field(min_length=1)]


class Webhook(BaseModel):
    """An endpoint of webhooks. All of its secrets sign, so that one can be replaced.

    `private` allows addresses of private networks and of this machine, and http to them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: Annotated[SecretStr, AfterValidator(check_webhook_url)]
    secret: Annotated[list[Annotated[SecretStr, AfterValidator(check_webhook_secret)]], Field(min_length=1)]
    events: Annotated[list[Annotated[str, AfterValidator(check_event_pattern)]], Field(min_length=1)] = ["*"]
    private: bool = False

    @field_validator("secret", mode="before")
    @classmethod
    def _from_one(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check_scheme(self) -> Self:
        if not self.private and self.url.get_secret_value().startswith("http://"):
            raise ValueError('url must start with https://; http is only for a private network, with "private": true')
        return self

    @property
    def endpoint(self) -> WebhookEndpoint:
        """Return the endpoint, with its secrets."""
        secrets = tuple(secret.get_secret_value() for secret in self.secret)
        return WebhookEndpoint(self.url.get_secret_value(), secrets, self.private)
