"""Call the platform beyond login."""

from abc import abstractmethod
from datetime import datetime
from typing import Protocol

from domain.identity import AppId, Identity, PhoneCode
from domain.session_key import EncryptKey, SessionKey
from domain.user import Payment, PhoneNumber


class Platform(Protocol):
    """Calls the platform of an app for more than logins.

    Every method may raise AppMisconfigured, RateLimited, IdentityProviderUnavailable,
    IdentityProviderBadResponse and, because access tokens are shared, StoreUnavailable.
    """

    @abstractmethod
    async def phone_number(self, code: PhoneCode, identity: Identity) -> PhoneNumber:
        """Return the number behind a phone-button code, which is spent.

        Raises CodeInvalid, also for the code of another user than `identity`, and WatermarkMismatch.
        """

    @abstractmethod
    async def is_current(self, identity: Identity, key: SessionKey) -> bool:
        """Return whether `key` is still the user's session_key."""

    @abstractmethod
    async def renew(self, identity: Identity, key: SessionKey) -> SessionKey:
        """Replace `key`, and return the new session_key. Raises DataUndecryptable if `key` is not current any more."""

    @abstractmethod
    async def encrypt_keys(self, identity: Identity, key: SessionKey) -> list[EncryptKey]:
        """Return the keys that the platform gives to the user's client, newest first.

        Raises DataUndecryptable as `renew`.
        """

    @abstractmethod
    async def encrypted_at(self, encrypted_data: str, appid: AppId) -> datetime | None:
        """Return when the platform made this encrypted data; None if it did not, or more than three days ago."""

    @abstractmethod
    async def unionid_of(self, identity: Identity, payment: Payment) -> str:
        """Return the unionid of a user who paid within the last five minutes. Raises NotFound."""

    @abstractmethod
    async def draw_code(self, appid: AppId, scene: str, page: str, env_version: str) -> bytes:
        """Return a picture, JPEG or PNG, that opens `page` of the mini-program with `scene` when it is scanned.

        `env_version` is the version that opens: release, trial or develop.
        """
