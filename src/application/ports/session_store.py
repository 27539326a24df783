"""Store sessions."""

from abc import abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from application.ports.probe import Probe
from domain.event import Cause
from domain.session import EndedSession, EndReason, Session
from domain.session_key import SessionKey


class SessionStore(Probe, Protocol):
    """Stores sessions. Every method may raise StoreUnavailable.

    An ended session stays ended: no method revives one, in whatever order concurrent calls run. A store may keep the
    label of a device (`domain.device`) in place of its User-Agent.

    A store makes an event of each session that starts or ends. If EventPolicy asks for events about sessions, it writes
    them with the change, atomically, and SessionEvents brings them over.
    """

    name: str = "session store"

    @abstractmethod
    async def start(self, session: Session, key: SessionKey | None, limit: int, previous: Session | None = None) -> int:
        """Store a new session and its session_key, end others, and return how many ended.

        One call, because a login waits for each round trip. The session_key goes into the KeyVault; None leaves what
        is there. These sessions end, in this order, with the reason REPLACED:

        1. `previous`, the session of the same user that the client had until now
        2. the oldest of the user's live sessions, until there are `limit` with the new one (0: no limit)

        The order is that of `created_at`, so that concurrent calls agree on it. When the clocks of hosts differ, the
        new session can be among the oldest.

        StoreUnavailable means that the new session was not stored, or that this is unknown. No one has its token then:
        the store deletes, if it can, what `erase` would not find. A failure to end others is no error: the user is
        logged in, and the others expire, and count again at the next login.
        """

    @abstractmethod
    async def find(self, session_id: str) -> Session | EndedSession | None:
        """Return the session, live or expired; an EndedSession if it was ended; None if unknown or not retained."""

    @abstractmethod
    async def touch(self, session: Session) -> None:
        """Update `last_seen_at` and `idle_expires_at`. Does nothing if the session has ended."""

    @abstractmethod
    async def list_for_user(self, user_id: str) -> list[Session]:
        """Return the user's sessions that were not ended, in no order. Some may have expired.

        During a move each session is in the list of one of the two users, or in both lists: a caller that reads the
        list of the first user, and then that of the second one, has them all.
        """

    @abstractmethod
    async def end(self, sessions: Sequence[Session], reason: EndReason, now: datetime, cause: Cause) -> int:
        """End the sessions, and return how many had not ended before. Takes any number of sessions.

        Retains the reason until `EndedSession.retain_until`. A session that has ended already keeps its first reason. A
        session that was moved since it was read ends, too. After a failure some have ended; the call can be repeated.
        """

    @abstractmethod
    async def move(self, from_id: str, into_id: str) -> None:
        """Give the sessions of one user to another. Idempotent. Call it after UserRepository.merge.

        Afterwards each session that belonged to `from_id` belongs to `into_id`, with its session_key, and has the same
        age and expiry as before.
        """

    @abstractmethod
    async def erase(self, user_id: str, now: datetime, cause: Cause, last: str | None = None) -> int:
        """Delete all that is stored about a user, before or after UserRepository.erase.

        Returns how many live sessions ended. Deletes the session_keys, too, if this store holds them by user. Of a
        session that was live, the id and the reason ENDED stay, so that its client is not logged in again by itself.
        Idempotent: repeat it after StoreUnavailable. The session with the id `last` ends after all else is deleted: as
        long as something is left, its token can repeat the erasure. A login under way cleans up after itself: see
        LoginUseCase.
        """

    @abstractmethod
    async def purge(self, now: datetime) -> int:
        """Delete sessions past their retention, and return how many; 0 in stores that expire them by themselves."""

    @abstractmethod
    async def check(self) -> None:
        """Raise StoreUnavailable if the store, or any server of it, does not answer. See Probe."""
