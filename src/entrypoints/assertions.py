"""Signed tokens of forward authentication, kept in the process."""

from datetime import datetime
from typing import NamedTuple

from cachetools import LRUCache

from application.ports.clock import Clock
from application.signed_tokens import SignedTokens
from domain.session import Session
from domain.signed_token import SignedToken

MAX_ASSERTIONS = 10_000
"""The number of assertions that a process keeps: about 12 MB. Beyond it, the least recently used one is dropped."""


class _Assertion(NamedTuple):
    token: SignedToken
    user_id: str
    renew_at: datetime


class Assertions:
    """Signed tokens of one audience for forward authentication, each used again until half of its life is over.

    A process keeps at most `limit` of them. The caller checks the session before each use.
    """

    def __init__(self, tokens: SignedTokens, audience: str, *, clock: Clock, limit: int = MAX_ASSERTIONS) -> None:
        self._tokens = tokens
        self._audience = audience
        self._clock = clock
        self._kept: LRUCache[str, _Assertion] = LRUCache(limit)

    def get(self, session: Session) -> str:
        """Return a token of a live session. A session that a merge gave to another user gets a new one."""
        now = self._clock()
        kept = self._kept.get(session.id)
        if kept and now < kept.renew_at and kept.user_id == session.user_id:
            return kept.token.value
        token = self._tokens.issue(session, self._audience)
        self._kept[session.id] = _Assertion(token, session.user_id, now + token.expires_in / 2)
        return token.value
