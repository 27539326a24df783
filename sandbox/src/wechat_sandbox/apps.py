"""The mini-programs and their AppSecrets."""

import re
from collections.abc import Mapping

from wechat_sandbox.errors import ControlRefused, require

_is_secret = re.compile(r"[0-9a-f]{32}", re.IGNORECASE).fullmatch


class Apps:
    """The given apps by appid. Without any, every appid is an app with any secret of 32 hex digits."""

    def __init__(self, secrets: Mapping[str, str] | None = None) -> None:
        self._secrets = dict(secrets or {})

    @property
    def appids(self) -> list[str]:
        """Return the given appids; none if every appid is an app."""
        return list(self._secrets)

    def known(self, appid: str) -> bool:
        """Return whether this is an app."""
        return not self._secrets or appid in self._secrets

    def require(self, appid: str) -> None:
        """Raise ControlRefused for an appid other than the given ones."""
        if not self.known(appid):
            raise ControlRefused(f"appid {appid!r} is none of this sandbox's apps: {', '.join(self._secrets)}")

    def authenticate(self, appid: str, secret: str) -> None:
        """Raise WeChatError: 40013 for an unknown app, 40125 for a wrong secret."""
        require(self.known(appid), 40013)
        require(secret == self._secrets[appid] if self._secrets else _is_secret(secret), 40125)
