"""The tokens of the checks, and their sessions in Redis in any number, without logins."""

import asyncio
import base64
import hashlib
import json
import time
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from cryptography.fernet import Fernet
from redis import Redis

from adapters.crypto.ciphers import SivCipher
from adapters.redis.client import create_client
from adapters.redis.connections import RedisClient
from adapters.redis.key_vault import RedisKeyVault
from adapters.redis.session_store import RedisSessionStore, name_of
from benchmarks.wechat import openid_of
from domain.device import Device
from domain.identity import AppId, Identity
from domain.session import Session, SessionPolicy, SessionToken
from domain.session_key import SessionKey

APPID = "wx0123456789abcdef"
AUTH_USERS = range(10_000, 10_200)
"""The users of the checks. They do not log in during the run, because a new login may end an older session."""

DAY_MS = 86_400_000
CHUNK = 10_000
USER_AGENT = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) MicroMessenger/8.0.50 NetType/WIFI Language/zh_CN"


def token_of(user: int) -> str:
    """Return 43 URL-safe characters, as wxlogin's tokens have."""
    return base64.urlsafe_b64encode(hashlib.sha256(b"%d" % user).digest()).decode().rstrip("=")


def write_fastify_sessions(redis_url: str, users: range) -> None:
    """Write the sessions as `fastify/serve.js` reads them: JSON by the hash of the token, with wxlogin's lifetime."""
    now = time.time_ns() // 1_000_000
    with Redis.from_url(redis_url) as redis:
        for first in range(0, len(users), CHUNK):
            pipeline = redis.pipeline(transaction=False)
            for user in users[first : first + CHUNK]:
                session_id = hashlib.sha256(token_of(user).encode()).hexdigest()
                session = {
                    "userId": str(uuid4()),
                    "id": session_id[:32],
                    "openid": openid_of(user),
                    "appid": APPID,
                    "createdAt": now,
                    "lastSeenAt": now,
                    "idleExpiresAt": now + 7 * DAY_MS,
                    "expiresAt": now + 30 * DAY_MS,
                }
                pipeline.set(f"session:{session_id}", json.dumps(session, separators=(",", ":")), px=14 * DAY_MS)
            pipeline.execute()


def write_wxlogin_sessions(redis_url: str, users: range) -> None:
    """Write one session with wxlogin, and copy it for the other tokens. All sessions belong to one user."""
    written = asyncio.run(write_wxlogin_session(redis_url, users[0]))
    with Redis.from_url(redis_url) as redis:
        for first in range(1, len(users), CHUNK):
            pipeline = redis.pipeline(transaction=False)
            for user in users[first : first + CHUNK]:
                pipeline.copy(name_of(written), name_of(SessionToken(token_of(user)).session_id))
            pipeline.execute()


async def write_wxlogin_session(redis_url: str, user: int) -> str:
    """Write a session and return its id. It starts in one hour, so that no check is due to store a touch."""
    begins = datetime.now(UTC) + timedelta(hours=1)
    identity, device = Identity(AppId(APPID), openid_of(user)), Device(USER_AGENT, "203.0.113.7")
    session = Session.start(SessionToken(token_of(user)), str(uuid4()), identity, device, SessionPolicy(), begins)
    async with create_client(redis_url) as redis:
        await open_store(redis)[0].start(session, SessionKey("HyVFkGl5F5OQWJZZaNzBBg=="), limit=0)
    return session.id


def open_store(redis: RedisClient) -> tuple[RedisSessionStore, RedisKeyVault]:
    """Open a store as the service does, with a new encryption key."""
    vault = RedisKeyVault(redis, SivCipher([Fernet.generate_key().decode()]))
    return RedisSessionStore(redis, vault), vault
