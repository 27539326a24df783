"""Issue and exchange login codes in this process, without WeChat."""

import base64
import secrets

from application.ports.identity_provider import IdentityProvider
from domain.errors import CodeInvalid, CodeUsed
from domain.identity import AppId, Identity, LoginCode
from domain.session_key import SessionKey


class MemoryIdentityProvider(IdentityProvider):
    """An IdentityProvider that accepts each code that it issued once."""

    def __init__(self) -> None:
        self._issued: dict[str, Identity] = {}
        self._used: set[str] = set()

    def issue(self, identity: Identity) -> LoginCode:
        """Return a code for `identity`, as wx.login() does."""
        code = LoginCode(secrets.token_hex(16))
        self._issued[code.value] = identity
        return code

    async def exchange(self, code: LoginCode, appid: AppId) -> tuple[Identity, SessionKey]:
        """See IdentityProvider."""
        identity = self._issued.get(code.value)
        if identity is None or identity.appid != appid:
            raise CodeInvalid
        if code.value in self._used:
            raise CodeUsed
        self._used.add(code.value)
        return identity, SessionKey(base64.b64encode(secrets.token_bytes(16)).decode())
