"""Examples of bodies, and descriptions of their fields, for the API documentation."""

from typing import Any

from application.login import LoginRequest
from application.login_with_phone import LoginWithPhoneRequest
from domain.user import Payment, ProfileChange
from entrypoints.http.device import DeviceAuthorization, DeviceAuthorizationForm
from entrypoints.http.login import ArticleResponse, ArticleToken
from entrypoints.http.me import ErasureRequest, PhoneRequest
from entrypoints.http.oauth import Introspection, TokenRequest
from entrypoints.http.oauth_errors import OAuthError
from entrypoints.http.oauth_token import ACCESS_TOKEN, DEVICE_CODE, TOKEN_EXCHANGE, GrantRequest, GrantResponse
from entrypoints.http.operations import Health, Ready
from entrypoints.http.scans import ScanAnswer, ScanResponse
from entrypoints.http.wechat import Encrypted, EncryptedDataCheck, EncryptedDataOrigin, Signed, Validity
from entrypoints.http.well_known import KeySet, ServerMetadata
from entrypoints.problems import Problem
from entrypoints.responses import (
    AccountResponse,
    EncryptKeyList,
    EncryptKeyResponse,
    LoggedInUser,
    LoginResponse,
    SessionList,
    SessionResponse,
    UserResponse,
)

CODE = "0b3c1XFa1Tm0pL0n8yGa1DdEXq1c1XFk"
TOKEN = "UdZkK38rvfeNZcZvx0AP6jBocjgCGemv26jdU1tuzuw"  # noqa: S105  # made up
USER = "01a208a8-c24a-71fc-9e9c-a8e88c77fcc5"
SESSION = "7d7139b34eccaff7d4abdb3d7fe41ca8"
JWT = "eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIwMWEyMDhhOCJ9.c2lnbmF0dXJl"
ISSUER = "https://id.example.com"
APPID, OPENID, UNIONID = "wx0123456789abcdef", "oGZUI0egBJY1zhBYw2KhdUfwVJJE", "o6_bmasdasdsad6_2sgVt7hMZOPf"
LOGGED_IN, EXPIRES = "2026-11-23T13:46:47.260015Z", "2026-12-23T13:46:47.260015Z"

PROFILE = {
    "name": "小明",
    "avatar": "https://example.com/a.png",
    "language": "zh_CN",
    "province": "广东",
    "city": "深圳",
    "country": "中国",
}
ACCOUNT = {"appid": APPID, "openid": OPENID}
SESSION_BODY = {
    "id": SESSION,
    "current": True,
    "created_at": LOGGED_IN,
    "last_seen_at": LOGGED_IN,
    "idle_expires_at": "2026-11-30T13:46:47.260015Z",
    "expires_at": EXPIRES,
    "user_agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) MicroMessenger/8.0.50",
    "ip": "203.0.113.7",
    "device": "iPhone · iOS 17.4 · WeChat 8.0.50",
}
USER_BODY = {"id": USER, "is_new": True, "name": "", "avatar": ""}
ENCRYPT_KEY = {
    "version": 10,
    "encrypt_key": "VI6BpyrK9XH4i4AIGe86tg==",
    "iv": "6003f73ec441c386",
    "created_at": LOGGED_IN,
    "expires_at": "2026-11-23T14:46:47.260015Z",
}
PAYLOAD = "CiyLU1Aw2KjvrjMdj8YKliAjtP4gsMZMQmRzooG2xrDcvSnxIMXFufNstNGTyaGS"

EXAMPLES: dict[type, Any] = {
    LoginRequest: {"code": CODE},
    LoginWithPhoneRequest: {"code": CODE},
    ErasureRequest: {"confirm": True},
    LoginResponse: {"token": TOKEN, "token_type": "Bearer", "session": SESSION_BODY, "user": USER_BODY},
    LoggedInUser: USER_BODY,
    SessionResponse: SESSION_BODY,
    SessionList: {"sessions": [SESSION_BODY]},
    UserResponse: {
        "id": USER,
        **PROFILE,
        "phone": "+8613800138000",
        "created_at": LOGGED_IN,
        "updated_at": LOGGED_IN,
        "accounts": [ACCOUNT],
        "unionid": UNIONID,
    },
    AccountResponse: ACCOUNT,
    ProfileChange: {"name": "小明", "avatar": "https://example.com/a.png"},
    PhoneRequest: {"code": "e31968a7f94cc5ee25fafc2aef2773f0bb8c3937b22520eb8ee345274d00c144"},
    Payment: {"transaction_id": "4200001234202611231234567890"},
    Encrypted: {"encryptedData": PAYLOAD, "iv": "r7BXXKkLb8qrSNn05n0qiA=="},
    Signed: {"rawData": '{"nickName":"小明"}', "signature": "75e81ceda165f4ffa64f4068af58c64b8f54b88c"},
    EncryptedDataCheck: {"encryptedData": PAYLOAD},
    EncryptedDataOrigin: {"valid": True, "created_at": LOGGED_IN},
    Validity: {"valid": True},
    EncryptKeyResponse: ENCRYPT_KEY,
    EncryptKeyList: {"keys": [ENCRYPT_KEY]},
    ArticleResponse: {"status": 0, "msg": "登录成功", "data": {"token": TOKEN}},
    ArticleToken: {"token": TOKEN},
    TokenRequest: {"token": TOKEN},
    Introspection: {
        "active": True,
        "sub": USER,
        "client_id": APPID,
        "token_type": "Bearer",
        "iat": 1795441607,
        "exp": 1796046407,
        "sid": SESSION,
        "openid": OPENID,
        "unionid": UNIONID,
    },
    DeviceAuthorizationForm: {"user_agent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64)", "ip": "203.0.113.7"},
    DeviceAuthorization: {
        "device_code": "8nX0c-_2QhWcT1vK3yLmPA.m8fTqk5V0cX3rJHy2dWbZ7oLpN1uGsA9eRiKvYtQxCw",
        "user_code": "WDJB-MJHT",
        "verification_uri": f"{ISSUER}/oauth2/device",
        "expires_in": 120,
        "interval": 2,
        "wxacode": f"{ISSUER}/oauth2/device/8nX0c-_2QhWcT1vK3yLmPA.jpg",
        "match_number": "42",
    },
    ScanResponse: {
        "client": "shop.example.com",
        "user_agent": "Windows · Chrome 150",
        "ip": "203.0.113.7",
        "created_at": LOGGED_IN,
        "expires_at": "2026-11-23T13:48:47.260015Z",
        "match_numbers": ["17", "42", "83"],
    },
    ScanAnswer: {"approve": True, "match_number": "42"},
    GrantRequest: {
        "grant_type": TOKEN_EXCHANGE,
        "subject_token": TOKEN,
        "subject_token_type": ACCESS_TOKEN,
        "aud": "The audience of a signed token.",
        "audience": "orders",
    },
    GrantResponse: {
        "access_token": JWT,
        "iss": "Who signed a signed token.",
        "issued_token_type": ACCESS_TOKEN,
        "token_type": "Bearer",
        "expires_in": 300,
    },
    KeySet: {
        "jti": "The id of a signed token.",
        "keys": [
            {
                "kty": "EC",
                "crv": "P-256",
                "use": "sig",
                "alg": "ES256",
                "kid": "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U",
                "x": "WKn-ZIGevcwGIyyrzFoZNBdaq9_TsqzGl96oc0CWuis",
                "y": "y77t-RvAHRKTsSGdIYUfweuOvwrvDD-Q3Hv5J0fSKbE",
            }
        ],
    },
    ServerMetadata: {
        "issuer": ISSUER,
        "token_endpoint": f"{ISSUER}/oauth2/token",
        "introspection_endpoint": f"{ISSUER}/oauth2/introspect",
        "revocation_endpoint": f"{ISSUER}/oauth2/revoke",
        "device_authorization_endpoint": f"{ISSUER}/oauth2/device_authorization",
        "response_types_supported": [],
        "grant_types_supported": [DEVICE_CODE, TOKEN_EXCHANGE],
        "token_endpoint_auth_methods_supported": ["none", "client_secret_basic"],
        "introspection_endpoint_auth_methods_supported": ["client_secret_basic"],
        "revocation_endpoint_auth_methods_supported": ["client_secret_basic"],
        "jwks_uri": f"{ISSUER}/.well-known/jwks.json",
    },
    OAuthError: {"error": "invalid_client", "error_description": "The client is unknown, or its secret is wrong"},
    Problem: {
        "type": "urn:wxlogin:error:code_used",
        "title": "The code was used before",
        "status": 400,
        "detail": "The code was used before. Call wx.login() again: every login needs a code of its own",
        "code": "code_used",
        "retry": "new_code",
        "errcode": 40163,
        "rid": "6926c1d0-2f2e8f7a-14b7e7a1",
    },
    Health: {"status": "ok"},
    Ready: {"status": "ok", "checks": {"database": "ok", "redis": "ok"}},
}
"""An example of each body. Its class's docstring describes the body."""

FIELDS = {
    "access_token": "The token, in the form that `issued_token_type` or the grant says.",
    "accounts": "The user's accounts, one for each mini-program of this service.",
    "active": "Whether the token's session is live.",
    "actor_token": "Not supported.",
    "appid": "The public name of the mini-program.",
    "approve": "Whether the user approves.",
    "assertion": "A signed token for WXLOGIN_ASSERTION_AUDIENCE, if it is set.",
    "aud": "The audience of a signed token.",
    "audience": "The audience of the token: one of WXLOGIN_AUDIENCES.",
    "avatar": "The URL of the picture.",
    "checks": "The state of each store.",
    "city": "What the client sent as the user's city.",
    "client": "The name of the website in WXLOGIN_CLIENTS.",
    "client_id": "The appid of the mini-program.",
    "code": "The code of wx.login(). It works once, for five minutes.",
    "confirm": "True: an erasure cannot be undone.",
    "country": "What the client sent as the user's country.",
    "created_at": "When it was created, in UTC.",
    "current": "Whether the request is of this session.",
    "data": "The token of a login; else the reason, or absent.",
    "detail": "What happened and what to do, for people.",
    "device": "A short label of the device; null if the client sent no User-Agent.",
    "device_authorization_endpoint": "The URL of RFC 8628.",
    "device_code": "What the website's backend polls with. It stays in the backend.",
    "encrypt_key": "The key, in base64.",
    "encryptedData": "As WeChat gave it to the mini-program, in base64.",
    "errcode": "WeChat's error code, if WeChat refused.",
    "error": "The code of the error.",
    "error_description": "What happened, for people.",
    "exp": "When the session expires if it is not used, in seconds since 1970.",
    "expires_at": "When it expires at the latest, in UTC.",
    "expires_in": "How long the token is valid, in seconds.",
    "grant_type": "What is asked for, as a name of OAuth.",
    "grant_types_supported": "The values of `grant_type`.",
    "iat": "When the user logged in, in seconds since 1970.",
    "id": "A UUID for a user; 32 hex digits for a session.",
    "idle_expires_at": "When the session expires if it is not used, in UTC.",
    "interval": "How many seconds to wait between two polls.",
    "introspection_endpoint": "The URL of RFC 7662.",
    "introspection_endpoint_auth_methods_supported": "How a backend authenticates there.",
    "ip": "The address of the device at the login.",
    "is_new": "Whether this login created the user.",
    "iss": "Who signed a signed token.",
    "issued_token_type": "The kind of the token (RFC 8693).",
    "issuer": "The public origin of the service, WXLOGIN_ISSUER.",
    "iv": "The initialization vector of the encryption.",
    "jti": "The id of a signed token.",
    "jwks_uri": "The URL of the public keys.",
    "keys": "The newest key first.",
    "language": "What the client sent as the user's language.",
    "last_seen_at": "When the token was last used, in UTC and to the minute.",
    "match_number": "The number that the website shows, or that the user picks.",
    "scanned": "In authorization_pending alone: whether a user has scanned the code.",
    "match_numbers": "The number that the website shows, among others.",
    "mch_id": "The merchant, together with `out_trade_no`.",
    "msg": "What happened, in Chinese.",
    "name": "The name that the user chose.",
    "openid": "The user's id in this mini-program.",
    "out_trade_no": "The merchant's own number of the order.",
    "phone": "The number in international form, or null.",
    "phone_code": "The code of the phone button, to bind the number in the same call.",
    "phone_error": "Why the phone number was not bound. There if the login brought a `phone_code` that failed.",
    "province": "What the client sent as the user's province.",
    "rawData": "The text as WeChat gave it to the mini-program, not an object made of it.",
    "requested_token_type": "Absent, or the type of an access token.",
    "resource": "Not supported.",
    "response_types_supported": "Empty: there is no authorization endpoint.",
    "retry": "`new_code`: call wx.login() again. `later`: send the same again after Retry-After seconds. `never`.",
    "revocation_endpoint": "The URL of RFC 7009.",
    "revocation_endpoint_auth_methods_supported": "How a backend authenticates there.",
    "rid": "WeChat's request id, for its support.",
    "scope": "Not supported.",
    "session": "The new session.",
    "sessions": "The user's live sessions, newest first.",
    "sid": "The id of the session.",
    "signature": "The signature of `rawData`, as WeChat gave it to the mini-program.",
    "status": "Whether it works.",
    "sub": "The id of the user.",
    "subject_token": "The token of a session.",
    "subject_token_type": "The type of an access token.",
    "title": "The kind of error, for people.",
    "token": "The token of the session. It is shown once.",
    "token_endpoint": "The URL of RFC 6749.",
    "token_endpoint_auth_methods_supported": "How a caller authenticates there.",
    "token_type": "How the token is sent: `Authorization: Bearer <token>`.",
    "token_type_hint": "Ignored, because there is one type of token.",
    "transaction_id": "WeChat Pay's number of the payment.",
    "type": "The kind of error, as a URN.",
    "unionid": "The user's id in all apps of one owner, or null.",
    "updated_at": "When the profile changed last, in UTC.",
    "user": "The user.",
    "user_agent": "The User-Agent of the device at the login, or its label.",
    "user_code": "Required by RFC 8628. Nothing accepts it.",
    "valid": "Whether it is valid at WeChat.",
    "verification_uri": "A page that tells people to scan the code.",
    "version": "The number of the key, which the client sends with the data.",
    "wxacode": "The address of the picture to scan.",
    "ArticleResponse.status": "0: logged in. 1: no code. 2: WeChat refuses the code. 3: all other errors.",
    "KeySet.keys": "The public keys, as JWKs. The first signs.",
    "LoggedInUser.phone": "The number in international form, or null. There if the login brought a `phone_code`.",
    "PhoneRequest.code": "The code of the phone button, not of wx.login(). It works once, for five minutes.",
    "Problem.code": "What happened, for programs. It never changes its meaning.",
    "Problem.status": "The HTTP status.",
    "TokenRequest.token": "The token that a client sent to the backend.",
}
"""Descriptions of fields by name, or by schema and name where schemas differ."""
