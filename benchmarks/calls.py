"""`python -m benchmarks.calls`: a call in this process and in the bare library, measured in turn, round by round."""

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from statistics import median

from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, generate_private_key
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from rich.console import Console
from rich.table import Table

from adapters.jose.token_signer import JoseTokenSigner, generate_key
from adapters.memory.access_token_issuer import MemoryAccessTokenIssuer
from adapters.memory.access_token_store import MemoryAccessTokenStore
from adapters.memory.key_vault import MemoryKeyVault
from adapters.memory.platform import MemoryPlatform
from adapters.memory.rate_limiter import MemoryRateLimiter
from adapters.memory.session_store import MemorySessionStore
from adapters.wechat.decryptor import WeChatDecryptor
from application.access_tokens import AccessTokens
from application.client_data import ClientData
from application.rate_limits import Quota
from application.sessions import Sessions
from application.signed_tokens import SignedTokens
from domain.device import UNKNOWN_DEVICE
from domain.identity import AppId, Identity
from domain.session import Session, SessionPolicy, SessionToken
from domain.session_key import SessionKey
from domain.signed_token import SignedTokenPolicy
from entrypoints.assertions import Assertions
from entrypoints.container import Container
from entrypoints.http.auth import check
from entrypoints.http.dependencies import Lifecycle, Runtime
from entrypoints.http.known_polls import KnownPolls
from entrypoints.instrumented import SessionChecks
from entrypoints.metrics import Metrics

ROUNDS, CALLS = 15, 2000
APP = AppId("wx0123456789abcdef")
ANN = Identity(APP, "oVBkZ0aYgDMDIywRdgPW8-joxXc4")
KEY, IV = secrets.token_bytes(16), secrets.token_bytes(16)
USER_INFO = {
    "openId": ANN.openid,
    "nickName": "小明",
    "gender": 1,
    "language": "zh_CN",
    "city": "Guangzhou",
    "province": "Guangdong",
    "country": "CN",
    "avatarUrl": "https://thirdwx.qlogo.cn/mmopen/vi_32/" + "x" * 90 + "/132",
    "watermark": {"timestamp": 1795441131, "appid": APP.value},
}
Call = Callable[[], Awaitable[object]]


def encrypt(data: dict[str, object]) -> str:
    padder = padding.PKCS7(128).padder()
    padded = padder.update(json.dumps(data).encode()) + padder.finalize()
    encryptor = Cipher(algorithms.AES128(KEY), modes.CBC(IV)).encryptor()
    return base64.b64encode(encryptor.update(padded) + encryptor.finalize()).decode()


SESSION_KEY = base64.b64encode(KEY).decode()
ENCRYPTED, IV_TEXT = encrypt(USER_INFO), base64.b64encode(IV).decode()
RAW_DATA = json.dumps(USER_INFO)
SIGNING_KEY, SIGNED_BYTES = generate_private_key(SECP256R1()), secrets.token_bytes(500)
SIGNATURE = hashlib.sha1((RAW_DATA + SESSION_KEY).encode()).hexdigest()


async def bare_decrypt() -> object:
    """Decrypt as an SDK does: base64, AES, padding and JSON, without a check of the watermark."""
    decryptor = Cipher(
        algorithms.AES128(base64.b64decode(SESSION_KEY)), modes.CBC(base64.b64decode(IV_TEXT))
    ).decryptor()
    padded = decryptor.update(base64.b64decode(ENCRYPTED)) + decryptor.finalize()
    unpadder = padding.PKCS7(128).unpadder()
    return json.loads(unpadder.update(padded) + unpadder.finalize())


async def bare_verify() -> object:
    return hmac.compare_digest(hashlib.sha1((RAW_DATA + SESSION_KEY).encode()).hexdigest(), SIGNATURE)


async def bare_sign() -> object:
    """Sign as much as a signed token has, without JSON, base64 and the form of a JWT's signature."""
    return SIGNING_KEY.sign(SIGNED_BYTES, ECDSA(SHA256()))


async def nothing() -> object:
    return None


async def microseconds(call: Call) -> float:
    """Return the processor time of one call."""
    began = time.process_time()
    for _ in range(CALLS):
        await call()
    return (time.process_time() - began) / CALLS * 1e6


async def prepare() -> dict[str, tuple[Call, Call]]:
    """Return the bare library and the use case, by the name of the measurement."""
    now = datetime.now(UTC)
    vault, platform = MemoryKeyVault(), MemoryPlatform()
    session = Session.start(SessionToken.generate(), "ann", ANN, UNKNOWN_DEVICE, SessionPolicy(), now)
    await vault.replace(session, SessionKey(SESSION_KEY), now)
    quota = Quota(MemoryRateLimiter(lambda: datetime.now(UTC)), None, "")
    client_data = ClientData(vault, WeChatDecryptor(), platform, quota, clock=lambda: datetime.now(UTC))
    tokens = AccessTokens(
        MemoryAccessTokenIssuer(), MemoryAccessTokenStore(), lease=timedelta(seconds=7), clock=lambda: datetime.now(UTC)
    )
    await tokens.get(APP)
    signed_tokens = SignedTokens(
        JoseTokenSigner([json.loads(generate_key())]),
        quota,
        policy=SignedTokenPolicy("https://id.example.com", frozenset({"orders"})),
        clock=lambda: datetime.now(UTC),
    )
    assertions = Assertions(signed_tokens, "orders", clock=lambda: datetime.now(UTC))

    async def signed_token() -> object:
        return signed_tokens.issue(session, "orders")

    async def kept_assertion() -> object:
        return assertions.get(session)

    store = MemorySessionStore()
    token = SessionToken.generate()
    checked = Session.start(token, "ann", ANN, UNKNOWN_DEVICE, SessionPolicy(), now)
    await store.start(checked, SessionKey(SESSION_KEY), 0)
    checks = SessionChecks(Sessions(store, policy=SessionPolicy(), clock=lambda: datetime.now(UTC)), Metrics([APP]))
    headers = [(b"host", b"wxlogin"), (b"authorization", f"Bearer {token.value}".encode())]
    plain = Runtime(Container(), Lifecycle(), checks, KnownPolls())
    asserting = Runtime(Container(), Lifecycle(), checks, KnownPolls(), assertions)
    return {
        "/auth without, with assertion": (lambda: check(headers, plain), lambda: check(headers, asserting)),
        "decrypt": (bare_decrypt, lambda: client_data.decrypt(session, ENCRYPTED, IV_TEXT)),
        "verify": (bare_verify, lambda: client_data.verify(session, RAW_DATA, SIGNATURE)),
        "cached access token": (nothing, lambda: tokens.get(APP)),
        "signed token": (bare_sign, signed_token),
        "kept assertion": (nothing, kept_assertion),
    }


async def main() -> None:
    table = Table(title=f"CPU µs for each call, medians of {ROUNDS} x {CALLS:,}")
    for column in ("call", "bare library", "wxlogin", "added"):
        table.add_column(column, justify="left" if column == "call" else "right")
    for name, (bare, ours) in (await prepare()).items():
        pairs = [(await microseconds(bare), await microseconds(ours)) for _ in range(ROUNDS)]
        added = median(mine - its for its, mine in pairs)
        table.add_row(name, *(f"{median(column):.1f}" for column in zip(*pairs, strict=True)), f"{added:.1f}")
    Console(width=None if Console().is_terminal else 100).print(table)


if __name__ == "__main__":
    asyncio.run(main())
