"""Objects with a secret, which their repr does not show."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from pydantic import SecretStr

from application.login import LoggedIn, LoginRequest
from domain.client_data import EncryptedData
from domain.device import UNKNOWN_DEVICE
from domain.identity import AppId, Identity, LoginCode, PhoneCode
from domain.session import Session, SessionPolicy, SessionToken
from domain.session_key import EncryptKey, KeyRing, SessionKey
from domain.signed_token import SignedToken
from domain.user import Profile, User
from entrypoints.http import login, me, oauth, oauth_token, wechat
from entrypoints.responses import LoginResponse, SecretStruct
from entrypoints.setting_models import SigningKey
from entrypoints.settings import Settings

NOW = datetime(2026, 11, 28, tzinfo=UTC)
TOKEN = SessionToken.generate()
SECRET = TOKEN.value


def logged_in() -> LoggedIn:
    """Return the result of a login."""
    session = Session.start(TOKEN, "u", Identity(AppId("wx1"), "o1"), UNKNOWN_DEVICE, SessionPolicy(), NOW)
    return LoggedIn(TOKEN, session, User("u", Profile(), NOW, NOW), is_new=True, replaced=0)


def below(kind: type[Any]) -> Iterator[type[Any]]:
    """Yield a class and all its subclasses."""
    yield kind
    for each in kind.__subclasses__():
        yield from below(each)


HOLDERS = [
    TOKEN,
    logged_in(),
    LoginResponse.of(logged_in()),
    login.ArticleResponse(0, "ok", login.ArticleToken(SECRET)),
    LoginRequest(SECRET),
    LoginCode(SECRET),
    PhoneCode(SECRET),
    me.PhoneRequest(SECRET),
    oauth.TokenRequest(SECRET),
    oauth_token.GrantRequest("", subject_token=SECRET),
    oauth_token.GrantResponse(SECRET, "Bearer", 300),
    SignedToken(SECRET, timedelta(minutes=5)),
    SigningKey(kty="EC", crv="P-256", x="x", y="y", d=SecretStr(SECRET)),
    Settings.model_validate({"signing_keys": [{"kty": "EC", "crv": "P-256", "x": "x", "y": "y", "d": SECRET}]}),
    wechat.Encrypted(SECRET, SECRET),
    wechat.Signed(SECRET, SECRET),
    wechat.EncryptedDataCheck(SECRET),
    SessionKey(SECRET),
    KeyRing(SessionKey(SECRET), SessionKey(SECRET), NOW),
    EncryptKey(1, SECRET, SECRET, NOW, NOW),
    EncryptedData(SECRET.encode(), SECRET.encode()),
]


@pytest.mark.parametrize("holder", HOLDERS, ids=lambda holder: type(holder).__name__)
def test_a_secret_is_not_shown(holder: object) -> None:
    """The repr and the str of an object do not show its token, code, session_key or encrypted data."""
    assert SECRET not in repr(holder)
    assert SECRET not in str(holder)
    assert SECRET not in f"{[holder]}"


@pytest.mark.parametrize("kind", [*below(SecretStruct)][1:], ids=lambda kind: kind.__name__)
def test_the_repr_of_a_body_with_a_secret_is_its_name(kind: type[msgspec.Struct]) -> None:
    """The repr of a body with a secret is its name only."""
    values = [None] * len(kind.__struct_fields__)

    assert repr(kind(*values)) == f"{kind.__name__}()"
