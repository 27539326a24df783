"""/v1/wechat: decrypt and verify client data with session_keys, and renew them."""

from datetime import datetime
from typing import Any

import msgspec
from litestar import Router, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from application.client_data import ClientData
from application.session_keys import SessionKeys
from domain.errors import DataUndecryptable, RateLimited, RequestInvalid
from domain.session import Session
from entrypoints.http.contract import DATA_ERRORS, PLATFORM_ERRORS, signed_in
from entrypoints.http.dependencies import CallerRequest, device_of
from entrypoints.log import log_session
from entrypoints.responses import EncryptKeyList, SecretStruct


class Encrypted(SecretStruct, frozen=True, rename="camel"):
    """`encryptedData` and `iv` of wx.getUserInfo() and similar calls, both base64."""

    encrypted_data: str
    iv: str


class Signed(SecretStruct, frozen=True, rename="camel"):
    """`rawData` and `signature` of wx.getUserInfo(). `rawData` is text, not an object."""

    raw_data: str
    signature: str


class EncryptedDataCheck(SecretStruct, frozen=True, rename="camel"):
    """`encryptedData`, in base64."""

    encrypted_data: str


class Validity(msgspec.Struct, frozen=True):
    """The validity of a signature or of a session_key."""

    valid: bool


class EncryptedDataOrigin(msgspec.Struct, frozen=True):
    """The origin of encrypted data: whether WeChat encrypted it, and when."""

    valid: bool
    created_at: datetime | None


@post("/decrypt", status_code=200, **signed_in(*DATA_ERRORS, RateLimited))
async def decrypt(
    data: JSONBody[Encrypted], session: NamedDependency[Session], client_data: NamedDependency[ClientData]
) -> dict[str, Any]:
    """Return the JSON in `encryptedData`, opened with the user's session_key and made for this app and user."""
    decrypted = await client_data.decrypt(session, data.encrypted_data, data.iv)
    log_session("decrypted", session, key=decrypted.key)
    return dict(decrypted.data)


@post("/verify", status_code=200, **signed_in(RequestInvalid, DataUndecryptable))
async def verify(
    data: JSONBody[Signed], session: NamedDependency[Session], client_data: NamedDependency[ClientData]
) -> Validity:
    """Return whether WeChat signed `rawData` for this user."""
    return Validity(await client_data.verify(session, data.raw_data, data.signature))


@post("/check", status_code=200, **signed_in(RequestInvalid, *PLATFORM_ERRORS))
async def check(
    data: JSONBody[EncryptedDataCheck], session: NamedDependency[Session], client_data: NamedDependency[ClientData]
) -> EncryptedDataOrigin:
    """Ask WeChat whether it made `encryptedData` in the last three days. It knows phone numbers only."""
    created_at = await client_data.encrypted_at(session, data.encrypted_data)
    return EncryptedDataOrigin(created_at is not None, created_at)


@get("/session-key", **signed_in(*PLATFORM_ERRORS))
async def check_session_key(session: NamedDependency[Session], session_keys: NamedDependency[SessionKeys]) -> Validity:
    """Return whether the stored session_key is valid at WeChat. If not, call wx.login() and log in again."""
    return Validity(await session_keys.is_current(session))


@post("/session-key/reset", status_code=204, **signed_in(DataUndecryptable, *PLATFORM_ERRORS))
async def reset_session_key(
    request: CallerRequest, session: NamedDependency[Session], session_keys: NamedDependency[SessionKeys]
) -> None:
    """Let WeChat replace the session_key of this user, and store the new one."""
    await session_keys.reset(session)
    log_session("session_key_reset", session, ip=device_of(request.scope).ip)


@get("/encrypt-keys", **signed_in(DataUndecryptable, *PLATFORM_ERRORS))
async def list_encrypt_keys(
    session: NamedDependency[Session], session_keys: NamedDependency[SessionKeys]
) -> EncryptKeyList:
    """Return the keys of wx.getUserCryptoManager() for this user, newest first."""
    return EncryptKeyList.of(await session_keys.encrypt_keys(session))


router = Router(
    "/v1/wechat",
    tags=["WeChat"],
    route_handlers=[decrypt, verify, check, check_session_key, reset_session_key, list_encrypt_keys],
)
