"""Device grants: a browser asks for a session, and a user approves it on a phone (RFC 8628).

The states of a grant, and what changes them:

    NEW ──look──▶ SEEN ──approve──▶ APPROVED ──redeem──▶ REDEEMED
                    │                     └──withdraw──▶ DENIED
                    └──deny, or a wrong number──▶ DENIED

No state comes twice, so a store that compares the state before it writes makes each change happen at most once.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Self

from domain.device import Device
from domain.errors import NotFound, RequestInvalid
from domain.event import Cause, Event, EventType
from domain.identity import AppId
from domain.session import Session

LIFETIME = timedelta(seconds=120)
"""How long a grant can be approved and redeemed."""

RETENTION = timedelta(seconds=60)
"""How long after its expiry a store can still say that a grant expired."""

INTERVAL = timedelta(seconds=2)
"""How long a client waits between two polls."""

SLOWER = timedelta(seconds=5)
"""By how much the interval grows with each poll that comes too early (RFC 8628 section 3.5)."""

JITTER = timedelta(milliseconds=500)
"""How much earlier than its interval a poll may arrive, because networks delay requests unequally."""

SCENE = re.compile(r"[A-Za-z0-9_-]{22}")
NO_SCENE = "-" * 22
"""The scene of no grant: DeviceCode.generate would need more luck than a guess of any scene."""

SECRET = re.compile(r"[A-Za-z0-9_-]{43}")
USER_CODE_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
"""RFC 8628 section 6.1: no vowels, so no words."""

CHOICES = 3
"""How many numbers the user chooses from."""


class GrantState(StrEnum):
    """The state of a grant. An expired grant keeps its state."""

    NEW = "new"
    SEEN = "seen"
    APPROVED = "approved"
    DENIED = "denied"
    REDEEMED = "redeemed"


PENDING = (GrantState.NEW, GrantState.SEEN)
"""The states before an answer."""


class PollRefusal(StrEnum):
    """Reasons why a poll gets no session: error codes of RFC 8628 section 3.5 and RFC 6749 section 5.2, and SCANNED."""

    AUTHORIZATION_PENDING = "authorization_pending"
    SCANNED = "scanned"
    """For clients this is authorization_pending, too: a user has looked, and has not answered yet."""
    SLOW_DOWN = "slow_down"
    ACCESS_DENIED = "access_denied"
    EXPIRED_TOKEN = "expired_token"  # noqa: S105  # RFC 8628's word
    INVALID_GRANT = "invalid_grant"

    @property
    def is_pending(self) -> bool:
        """Return whether the client has to poll again, because the user has not answered."""
        return self in (PollRefusal.AUTHORIZATION_PENDING, PollRefusal.SCANNED)


@dataclass(frozen=True, slots=True)
class DeviceCode:
    """The code with which the client polls: the scene, followed by 256 random bits.

    The picture contains the scene, which does not reveal the rest. Stores contain a hash of the rest only.
    """

    scene: str
    secret: str = field(repr=False)

    @classmethod
    def generate(cls) -> Self:
        """Return a new code from the operating system's random source."""
        return cls(secrets.token_urlsafe(16), secrets.token_urlsafe(32))

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return the code; None if the text does not have the form of one."""
        scene, secret = text[:22], text[22:]
        return cls(scene, secret) if SCENE.fullmatch(scene) and SECRET.fullmatch(secret) else None

    def __str__(self) -> str:
        return self.scene + self.secret

    @property
    def secret_hash(self) -> str:
        """Return the SHA-256 of the secret in hex."""
        return hashlib.sha256(self.secret.encode()).hexdigest()


def generate_user_code() -> str:
    """Return a user code, which RFC 8628 requires. Nothing here accepts one: the scene is in the picture."""
    return "".join(secrets.choice(USER_CODE_LETTERS) for _ in range(8))


@dataclass(frozen=True, slots=True)
class MatchNumbers:
    """The number that the website shows, and the numbers among which the user finds it, in random order."""

    shown: str
    choices: tuple[str, ...]

    @classmethod
    def generate(cls) -> Self:
        """Return different numbers of two digits."""
        choices = tuple(str(number) for number in secrets.SystemRandom().sample(range(10, 100), CHOICES))
        return cls(secrets.choice(choices), choices)


@dataclass(frozen=True, slots=True)
class DeviceGrant:
    """The request of a browser for a session, and its state. All times are UTC.

    `client_id` is the OAuth client of the website, and `browser` the device that it names. `user_id` is the user
    whose look came first, and `session_id` the session that approved.
    """

    scene: str
    secret_hash: str
    client_id: str
    appid: AppId
    browser: Device
    numbers: MatchNumbers | None
    created_at: datetime
    expires_at: datetime
    state: GrantState = GrantState.NEW
    user_id: str | None = None
    session_id: str | None = None

    @classmethod
    def start(
        cls,
        code: DeviceCode,
        client_id: str,
        appid: AppId,
        browser: Device,
        numbers: MatchNumbers | None,
        now: datetime,
    ) -> Self:
        """Return a new grant that `code` redeems."""
        return cls(code.scene, code.secret_hash, client_id, appid, browser, numbers, now, now + LIFETIME)

    @property
    def retain_until(self) -> datetime:
        """Return when a store may delete it."""
        return self.expires_at + RETENTION

    def is_open(self, now: datetime) -> bool:
        """Return whether a user can still answer it."""
        return self.state in PENDING and now < self.expires_at

    def look(self, session: Session, now: datetime) -> Self:
        """Return the grant as seen by the session's user. The first look ties it to this user.

        Raises NotFound if it is not open, of another app, or tied to another user.
        """
        if not self.is_open(now) or session.identity.appid != self.appid or self.user_id not in (None, session.user_id):
            raise NotFound("There is no such scan")
        return replace(self, state=GrantState.SEEN, user_id=session.user_id)

    def answer(self, session: Session, number: str | None, now: datetime, *, approve: bool) -> Self:
        """Return the grant as approved or denied. A wrong number denies.

        Raises NotFound as `look`, and before the user's first look; RequestInvalid if the number is missing.
        """
        self.look(session, now)
        if self.state is GrantState.NEW:
            raise NotFound("There is no such scan")
        if not approve:
            return replace(self, state=GrantState.DENIED)
        if self.numbers and number is None:
            raise RequestInvalid("match_number is missing: send the number that the website shows")
        if self.numbers and number != self.numbers.shown:
            return replace(self, state=GrantState.DENIED)
        return replace(self, state=GrantState.APPROVED, session_id=session.id)

    def answered_event(self, cause: Cause, now: datetime) -> Event:
        """Return the event of the answer that the grant has."""
        kind = EventType.SCAN_APPROVED if self.state is GrantState.APPROVED else EventType.SCAN_DENIED
        return Event.of(
            kind,
            cause,
            now,
            user_id=self.user_id,
            session_id=self.session_id,
            app=self.appid.value,
            reason=self.client_id,
        )

    def withdraw(self) -> Self:
        """Return the grant as denied after its approval: the user logged out, or was blocked."""
        return replace(self, state=GrantState.DENIED)

    def is_of(self, client_id: str, code: DeviceCode) -> bool:
        """Return whether the grant was issued to this client with this code. Compares in constant time."""
        return self.client_id == client_id and hmac.compare_digest(self.secret_hash, code.secret_hash)

    def redeem(self, now: datetime) -> "Self | PollRefusal":
        """Return the grant as redeemed, or why it cannot be."""
        match self.state:
            case GrantState.REDEEMED:
                return PollRefusal.INVALID_GRANT
            case GrantState.DENIED:
                return PollRefusal.ACCESS_DENIED
            case _ if now >= self.expires_at:
                return PollRefusal.EXPIRED_TOKEN
            case GrantState.APPROVED:
                return replace(self, state=GrantState.REDEEMED)
            case GrantState.SEEN:
                return PollRefusal.SCANNED
        return PollRefusal.AUTHORIZATION_PENDING


@dataclass(frozen=True, slots=True)
class Pace:
    """The pace of one client's polls of one grant: the time of the last poll, and the interval since."""

    polled_at: datetime
    interval: timedelta = INTERVAL

    def poll(self, now: datetime) -> tuple[Self, bool]:
        """Return the pace after one more poll, and whether this one came too early."""
        is_early = now - self.polled_at < self.interval - JITTER
        return replace(self, polled_at=now, interval=self.interval + SLOWER if is_early else self.interval), is_early
