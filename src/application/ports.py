"""The ports: interfaces that the use cases need and adapters implement.

Each adapter subclasses its port by name, and passes the contract suite of that port in `tests/contract`.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

from domain.access_token import AccessToken, AccessTokenState
from domain.client_data import EncryptedData
from domain.identity import AppId, Identity, LoginCode, PhoneCode
from domain.rate_limit import Allowance, RateLimit
from domain.session import EndedSession, EndReason, Session
from domain.session_key import EncryptKey, KeyRing, Reencrypted, SessionKey
from domain.user import Payment, PhoneNumber, ProfileChange, UnionIdConflict, User

Clock = Callable[[], datetime]
"""Returns the current time, in UTC."""


class IdentityProvider(Protocol):
    """Exchanges a login code for the identity of its user."""

    @abstractmethod
    async def exchange(self, code: LoginCode, appid: AppId) -> tuple[Identity, SessionKey]:
        """Return the identity behind `code`, and the session_key of this login.

        A code works once: implementations send it at most once, whatever fails.

        Raises CodeInvalid, CodeUsed, UserBlockedByProvider, AppMisconfigured, RateLimited,
        IdentityProviderUnavailable and IdentityProviderBadResponse.
        """


class AccessTokenIssuer(Protocol):
    """Issues access tokens of an app."""

    @abstractmethod
    async def issue_token(self, appid: AppId, now: datetime) -> AccessToken:
        """Return the current token. It stays the same until shortly before it expires.

        Raises AppMisconfigured, RateLimited, IdentityProviderUnavailable and IdentityProviderBadResponse.
        """


class AccessTokenStore(Protocol):
    """Stores access tokens, encrypted, for all processes. Every method raises StoreUnavailable."""

    @abstractmethod
    async def load(self, appid: AppId) -> AccessTokenState:
        """Return the stored state, or an empty one if none exists or its encryption key is no longer configured."""

    @abstractmethod
    async def acquire(self, appid: AppId, holder: str, now: datetime, lease: timedelta) -> bool:
        """Take the lease to fetch a token, and return whether `holder` has it now. It expires after `lease`."""

    @abstractmethod
    async def release(self, appid: AppId, holder: str, state: AccessTokenState) -> None:
        """Store `state` and end the lease of `holder`. Does nothing if another holder has the lease by now."""


class Platform(Protocol):
    """The calls of WeChat beyond login.

    Every method raises AppMisconfigured, RateLimited, IdentityProviderUnavailable,
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
        """Return the keys of wx.getUserCryptoManager(), newest first. Raises DataUndecryptable as `renew`."""

    @abstractmethod
    async def encrypted_at(self, encrypted_data: str, appid: AppId) -> datetime | None:
        """Return when WeChat made this encryptedData; None if it did not, or more than three days ago."""

    @abstractmethod
    async def unionid_of(self, identity: Identity, payment: Payment) -> str:
        """Return the unionid of a user who paid within the last five minutes. Raises NotFound."""


class Decryptor(Protocol):
    """Decrypts data that WeChat encrypted for the server."""

    @abstractmethod
    def decrypt(self, data: EncryptedData, key: SessionKey) -> dict[str, Any]:
        """Return the JSON object in `data`. Raises DataUndecryptable for everything that is wrong with it."""


class UserRepository(Protocol):
    """Stores users and their accounts. Each method is one transaction, and raises StoreUnavailable."""

    @abstractmethod
    async def find_or_create(self, identity: Identity, now: datetime) -> tuple[User, bool]:
        """Return the user of this identity, and whether it was created. `accounts` may be empty.

        Concurrent calls agree: an (appid, openid) has one user, and accounts with the same unionid share one. A unionid
        that arrives later is added to the user. If another user already has it, a conflict is recorded, neither user
        changes, and the returned user is blocked when the other is, because both are the same person.
        """

    @abstractmethod
    async def get(self, user_id: str) -> User:
        """Return the user with all accounts; for a merged user, the user they were merged into. Raises NotFound."""

    @abstractmethod
    async def change_profile(self, user_id: str, change: ProfileChange, now: datetime) -> User:
        """Change the profile, and return the user. Raises NotFound."""

    @abstractmethod
    async def bind_phone(self, user_id: str, phone: PhoneNumber, now: datetime) -> User:
        """Set the phone number in place of any earlier one, and return the user. Raises NotFound."""

    @abstractmethod
    async def block(self, user_id: str, blocked_at: datetime | None) -> User:
        """Block the user, or unblock them if `blocked_at` is None, and return the user. Raises NotFound."""

    @abstractmethod
    async def merge(self, from_id: str, into_id: str, discard: frozenset[str], now: datetime) -> User:
        """Merge the first user into the second, and return the second. Idempotent.

        Moves accounts and profile as `domain.user.merge` says, resolves the conflicts between the two, and keeps a
        record of the first. Raises NotFound and RequestInvalid.
        """

    @abstractmethod
    async def conflicts(self) -> list[UnionIdConflict]:
        """Return the recorded unionid conflicts, which `wxlogin users merge` resolves."""


class SessionStore(Protocol):
    """Stores sessions. Every method raises StoreUnavailable.

    An ended session stays ended: no method revives one, also when several run at the same time. A store may keep the
    label of a device (`domain.device`) in place of its User-Agent.
    """

    @abstractmethod
    async def start(self, session: Session, key: SessionKey, limit: int) -> int:
        """Store a new session, and its session_key in the KeyVault. Return how many older sessions were ended.

        If the user has more than `limit` live sessions now (0: no limit), the oldest end with reason REPLACED.
        """

    @abstractmethod
    async def find(self, session_id: str) -> Session | EndedSession | None:
        """Return the session, live or expired; an EndedSession if it was ended; None if unknown or not retained."""

    @abstractmethod
    async def touch(self, session: Session) -> None:
        """Update `last_seen_at` and `idle_expires_at`. Does nothing if the session has ended."""

    @abstractmethod
    async def list_for_user(self, user_id: str) -> list[Session]:
        """Return the user's sessions that were not ended, in no order. Some may have expired."""

    @abstractmethod
    async def end(self, sessions: Sequence[Session], reason: EndReason, now: datetime) -> None:
        """End the sessions. Retains the reason until `EndedSession.retain_until`.

        A session that has ended already keeps its first reason.
        """

    @abstractmethod
    async def move(self, from_id: str, into_id: str) -> int:
        """Give all sessions and session_keys of one user to another, and return how many sessions."""

    @abstractmethod
    async def purge(self, now: datetime) -> int:
        """Delete sessions past their retention, and return how many; 0 in stores that expire them by themselves."""


class KeyVault(Protocol):
    """Stores session_keys, encrypted: of each user in each app the newest and the one before.

    SessionStore.start stores the key of a login. Every method raises StoreUnavailable.
    """

    @abstractmethod
    async def find(self, session: Session) -> KeyRing:
        """Return the keys of the session's user in its app.

        Raises DataUndecryptable if there is none, or its encryption key is no longer configured: a new login helps.
        """

    @abstractmethod
    async def replace(self, session: Session, key: SessionKey, now: datetime) -> None:
        """Make `key` the newest, retained at least until the session's maximum age. Idempotent for the same key."""

    @abstractmethod
    async def reencrypt(self) -> Reencrypted:
        """Encrypt all stored keys with the newest encryption key. Idempotent, and safe while users log in."""


class RateLimiter(Protocol):
    """Counts requests against rate limits."""

    @abstractmethod
    async def take(self, limit: RateLimit, who: str) -> Allowance:
        """Take one request from the quota of `who`, and return whether it is admitted. A refusal takes nothing.

        Atomic: concurrent calls are never admitted beyond the limit. Raises StoreUnavailable.
        """


class Probe(Protocol):
    """Checks whether a dependency of the service answers."""

    name: str

    @abstractmethod
    async def check(self) -> None:
        """Raise StoreUnavailable if it does not answer."""
