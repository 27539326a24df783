"""Access tokens of both calls.

https://developers.weixin.qq.com/miniprogram/dev/OpenApiDoc/mp-access-token/getStableAccessToken.html
https://developers.weixin.qq.com/miniprogram/dev/OpenApiDoc/mp-access-token/getAccessToken.html
"""

import math
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from wechat_sandbox.apps import Apps
from wechat_sandbox.errors import WeChatError, require
from wechat_sandbox.lru import LruDict
from wechat_sandbox.quotas import DAY, MINUTE, Limit

TOKEN_LIFE_SECONDS = 7200
OVERLAP_SECONDS = 300
FORCED_DISTANCE_SECONDS = 30
TOKENS_REMEMBERED = 100_000
APPS_REMEMBERED = 10_000

_is_token = re.compile(r"[\w-]{1,512}", re.ASCII).fullmatch


@dataclass(slots=True)
class AccessToken:
    """A token of an app: 42001 from `expires_at`, 40001 from an earlier `replaced_at` (Unix seconds)."""

    value: str = field(repr=False)
    appid: str
    expires_at: float
    replaced_at: float = math.inf


@dataclass(slots=True)
class Issued:
    """The tokens of an app: the current one of each call, and the previous stable one, which may still be valid."""

    stable: AccessToken | None = None
    stable_before: AccessToken | None = None
    forced_at: float = -math.inf
    legacy: AccessToken | None = None


class AccessTokens:
    """Tokens of 7200 seconds of `now` (Unix seconds); those of stable_token and of token are independent.

    Keeps the last 100,000 tokens of the last 10,000 apps. Calls with wrong credentials do not count.
    """

    def __init__(self, now: Callable[[], float], apps: Apps) -> None:
        self._now = now
        self._apps = apps
        self._tokens: LruDict[str, AccessToken] = LruDict(TOKENS_REMEMBERED)
        self._issued: LruDict[str, Issued] = LruDict(APPS_REMEMBERED)
        self._stable_limits = (Limit(now, 10_000, MINUTE, 45011), Limit(now, 500_000, DAY, 45009))
        self._forced_limit = Limit(now, 20, DAY, 45009)
        self._legacy_limit = Limit(now, 2_000, DAY, 45009)

    def stable(self, appid: str, secret: str, grant_type: str, *, force: bool) -> dict[str, object]:
        """Return the current token and its remaining seconds; a new one in its last 300, while both are valid.

        `force` replaces it at once, and the previous one, too: 20 times a day, then 45009. Within 30 seconds of
        the last time it returns the same token ("否则不会刷新"), and does not count.
        Raises WeChatError: as `_authenticate`; 45011 beyond 10,000 calls a minute, 45009 beyond 500,000 a day.
        """
        self._authenticate(appid, secret, grant_type)
        for limit in self._stable_limits:
            limit.count(appid)
        issued = self._issued.get_or_add(appid, Issued)
        token = issued.stable
        if force and self._now() >= issued.forced_at + FORCED_DISTANCE_SECONDS:
            token = self._force(appid, issued)
        elif token is None or self._now() >= token.expires_at - OVERLAP_SECONDS:
            issued.stable_before, token = token, self._new(appid)
        issued.stable = token
        return self._shown(token)

    def legacy(self, appid: str, secret: str, grant_type: str) -> dict[str, object]:
        """Return a new token. The previous one stays valid for 300 seconds.

        Raises WeChatError: as `_authenticate`; 45009 beyond 2,000 calls a day.
        """
        self._authenticate(appid, secret, grant_type)
        self._legacy_limit.count(appid)
        issued = self._issued.get_or_add(appid, Issued)
        if issued.legacy:
            issued.legacy.replaced_at = self._now() + OVERLAP_SECONDS
        issued.legacy = self._new(appid)
        return self._shown(issued.legacy)

    def appid_of(self, access_token: str) -> str:
        """Return the app of a token.

        Raises WeChatError: 41001 (missing), 40014 (longer than a token, or with characters that none has), 40001
        (never issued, or replaced), 42001 (expired).
        """
        require(access_token, 41001)
        require(_is_token(access_token), 40014)
        token = self._tokens.get(access_token)
        if token is None or token.replaced_at <= min(self._now(), token.expires_at):
            raise WeChatError(40001)
        require(self._now() < token.expires_at, 42001)
        return token.appid

    def _authenticate(self, appid: str, secret: str, grant_type: str) -> None:
        """Raise WeChatError, in this order: 41002, 40013 (appid missing, unknown), 40002 (grant_type), 41004, 40125.

        WeChat was observed to check the appid before the grant_type.
        """
        require(appid, 41002)
        require(self._apps.known(appid), 40013)
        require(grant_type == "client_credential", 40002)
        require(secret, 41004)
        self._apps.authenticate(appid, secret)

    def _force(self, appid: str, issued: Issued) -> AccessToken:
        self._forced_limit.count(appid)
        for token in (issued.stable_before, issued.stable):
            if token:
                token.replaced_at = self._now()
        issued.stable_before, issued.forced_at = None, self._now()
        return self._new(appid)

    def _new(self, appid: str) -> AccessToken:
        token = AccessToken(f"76_{secrets.token_urlsafe(99)}", appid, self._now() + TOKEN_LIFE_SECONDS)
        self._tokens[token.value] = token
        return token

    def _shown(self, token: AccessToken) -> dict[str, object]:
        return {"access_token": token.value, "expires_in": int(token.expires_at) - int(self._now())}
