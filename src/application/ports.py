"""What the use cases need from the outside, in their own words."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

from domain.access_token import AccessToken, TokenState
from domain.client_data import EncryptedData
from domain.identity import AppId, Identity, LoginCode, PhoneCode
from domain.rate_limit import Allowance, RateLimit
from domain.session import EndedSession, EndReason, Session
from domain.session_key import EncryptKey, KeyRing, Reencrypted, SessionKey
from domain.user import Payment, PhoneNumber, ProfileChange, UnionIdConflict, User

Clock = Callable[[], datetime]
"""Tells the time, in UTC."""


class IdentityProvider(Protocol):
    """Says who a login code belongs to."""

    @abstractmethod
    async def exchange(self, code: LoginCode, appid: AppId) -> tuple[Identity, SessionKey]:
        """Spend `code`: it works once, so this is never tried twice.

        Raises CodeInvalid, CodeUsed, UserBlockedByWeChat, AppMisconfigured, RateLimited, WeChatUnavailable and
        WeChatBadAnswer.
        """


class TokenIssuer(Protocol):
    """Gives out an app's access token."""

    @abstractmethod
    async def issue_token(self, appid: AppId, now: datetime) -> AccessToken:
        """The newest token: the same as before, until that one is about to end.

        Raises AppMisconfigured, RateLimited, WeChatUnavailable and WeChatBadAnswer.
        """


class TokenStore(Protocol):
    """Shares access tokens, encrypted, among all processes. Every method raises StoreUnavailable."""

    @abstractmethod
    async def load(self, appid: AppId) -> TokenState:
        """What is known; nothing, when what is kept was encrypted with a key that is gone."""

    @abstractmethod
    async def acquire(self, appid: AppId, holder: str, now: datetime, lease: timedelta) -> bool:
        """Whether `holder` alone may fetch now. Its lease ends by itself."""

    @abstractmethod
    async def release(self, appid: AppId, holder: str, state: TokenState) -> None:
        """Keep what `holder` found out and end its lease; nothing, if the lease is somebody else's by now."""


class Platform(Protocol):
    """What WeChat does for an app beyond login.

    Every method raises AppMisconfigured, RateLimited, WeChatUnavailable, WeChatBadAnswer and, because access tokens
    are shared, StoreUnavailable.
    """

    @abstractmethod
    async def phone_number(self, code: PhoneCode, identity: Identity) -> PhoneNumber:
        """Return the number behind a phone-button code, which is spent.

        Raises CodeInvalid, also for the code of another user than `identity`, and WatermarkMismatch.
        """

    @abstractmethod
    async def is_current(self, identity: Identity, key: SessionKey) -> bool:
        """Whether `key` is still the user's."""

    @abstractmethod
    async def renew(self, identity: Identity, key: SessionKey) -> SessionKey:
        """The new key that takes the place of `key`. Raises DataUndecryptable when that is not the user's any more."""

    @abstractmethod
    async def encrypt_keys(self, identity: Identity, key: SessionKey) -> list[EncryptKey]:
        """The keys for the user's own data, newest first. Raises DataUndecryptable as `renew`."""

    @abstractmethod
    async def encrypted_at(self, encrypted_data: str, appid: AppId) -> datetime | None:
        """When WeChat made this encryptedData; None when it did not, or more than three days ago."""

    @abstractmethod
    async def unionid_of(self, identity: Identity, payment: Payment) -> str:
        """The unionid of a user who paid within the last five minutes. Raises NotFound."""


class Decryptor(Protocol):
    """Opens what WeChat encrypted for the server."""

    @abstractmethod
    def decrypt(self, data: EncryptedData, key: SessionKey) -> dict[str, Any]:
        """The JSON object in it. Raises DataUndecryptable, whatever is wrong with it."""


class UserRepository(Protocol):
    """Keeps users and their accounts. Every method raises StoreUnavailable."""

    @abstractmethod
    async def find_or_create(self, identity: Identity, now: datetime) -> tuple[User, bool]:
        """Return the user of this identity, and whether it was created. `accounts` may be empty.

        Concurrent calls agree: an (appid, openid) has one user, and accounts with the same unionid share one. A unionid
        that arrives later is added to the user. If another user already has it, a conflict is recorded, neither user
        changes, and the returned user is blocked when the other is, because both are the same person.
        """

    @abstractmethod
    async def get(self, user_id: str) -> User:
        """The user with all accounts; of a merged one, the user they are now. Raises NotFound."""

    @abstractmethod
    async def change_profile(self, user_id: str, change: ProfileChange, now: datetime) -> User:
        """The user after the change. Raises NotFound."""

    @abstractmethod
    async def bind_phone(self, user_id: str, phone: PhoneNumber, now: datetime) -> User:
        """The user with that number in place of any before. Raises NotFound."""

    @abstractmethod
    async def block(self, user_id: str, blocked_at: datetime | None) -> User:
        """The user, blocked since then, or, for None, not any more. Raises NotFound."""

    @abstractmethod
    async def merge(self, from_id: str, into_id: str, discard: frozenset[str], now: datetime) -> User:
        """The user that both are from now on; to do it again changes nothing.

        All of the one goes to the other, as `domain.user.merge` says, conflicts between the two are settled, and what
        the one was stays on record. Raises NotFound and RequestInvalid.
        """

    @abstractmethod
    async def conflicts(self) -> list[UnionIdConflict]:
        """The unionids that could not be added, for `wxlogin users merge` to resolve."""


class SessionStore(Protocol):
    """Keeps sessions. Every method raises StoreUnavailable.

    What has ended stays ended: no method brings a session back, whatever runs at once. A store may keep a device's
    label (`domain.device`) in place of its User-Agent.
    """

    @abstractmethod
    async def start(self, session: Session, key: SessionKey, limit: int) -> int:
        """Keep a new session, and its key in the KeyVault.

        When its user now has more than `limit` live ones (0: any number), the oldest end with REPLACED: says how many.
        """

    @abstractmethod
    async def find(self, session_id: str) -> Session | EndedSession | None:
        """The session, live or expired; what is left of it; or None when it is unknown or forgotten."""

    @abstractmethod
    async def touch(self, session: Session) -> None:
        """Write its `last_seen_at` and `idle_expires_at`, unless it has ended meanwhile."""

    @abstractmethod
    async def of_user(self, user_id: str) -> list[Session]:
        """Those of the user's sessions that have not ended, in no order; they may have expired."""

    @abstractmethod
    async def end(self, sessions: Sequence[Session], reason: EndReason, now: datetime) -> None:
        """End them; the reason stays known for as long as they would have lived.

        One that has ended keeps its first reason.
        """

    @abstractmethod
    async def move(self, from_id: str, into_id: str) -> int:
        """Make the open sessions of one user another's, with what the KeyVault has for them, and say how many."""

    @abstractmethod
    async def purge(self, now: datetime) -> int:
        """Drop what is forgotten, and say how many. Stores that do so by themselves answer 0."""


class KeyVault(Protocol):
    """Keeps session_keys, encrypted: of each user in each app the newest and the one before.

    A login's key comes here through SessionStore.start. Every method raises StoreUnavailable.
    """

    @abstractmethod
    async def find(self, session: Session) -> KeyRing:
        """The keys of the session's user in its app.

        Raises DataUndecryptable when there is none, or its encryption key is gone: logging in again helps.
        """

    @abstractmethod
    async def replace(self, session: Session, key: SessionKey, now: datetime) -> None:
        """Make `key` the newest, kept at least until the session's greatest age.

        The same key again replaces nothing.
        """

    @abstractmethod
    async def reencrypt(self) -> Reencrypted:
        """Encrypt all that is kept with the newest encryption key. Safe beside logins, and to run twice."""


class RateLimiter(Protocol):
    """Counts against rate limits."""

    @abstractmethod
    async def take(self, limit: RateLimit, who: str) -> Allowance:
        """Take one of what `who` has left, unless it is nothing; a refusal takes nothing.

        However many calls run at once, no more are admitted than there are. Raises StoreUnavailable.
        """


class Probe(Protocol):
    """Tells whether something that the service needs answers."""

    name: str

    @abstractmethod
    async def check(self) -> None:
        """Raises StoreUnavailable when it does not."""
