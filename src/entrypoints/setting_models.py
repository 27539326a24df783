"""The settings that are objects: apps, OAuth clients and keys."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from entrypoints.setting_types import check_appid, check_platform

Audience = Annotated[str, Field(pattern=r"^[!-+\--~]{1,255}$")]
"""The audience of a JWT: printable ASCII without commas."""


class Signing(BaseModel):
    """The keys of a mini-program with API security. An sn is the serial number of a key in the WeChat console."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sym_key: SecretStr
    sym_key_sn: Annotated[str, Field(min_length=1)]
    private_key: SecretStr
    certificate: Annotated[str, Field(min_length=1)]
    certificate_sn: Annotated[str, Field(min_length=1)]


class App(BaseModel):
    """The credentials of a mini-program, for the adapters of its platform."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    platform: Annotated[str, AfterValidator(check_platform)] = "wechat"
    appid: Annotated[str, AfterValidator(check_appid)]
    secret: Annotated[SecretStr, Field(min_length=1)]
    signing: Signing | None = None


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
