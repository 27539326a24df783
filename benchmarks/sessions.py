"""Whose tokens are checked, and their sessions in Redis where no login puts them."""

import base64
import hashlib
import json
import time
from uuid import uuid4

from redis import Redis

from benchmarks.wechat import openid_of

APPID = "wx0123456789abcdef"
AUTH_USERS = range(10_000, 10_200)
"""They do not log in meanwhile: a new login may end an older session."""

DAY_MS = 86_400_000
CHUNK = 10_000


def token_of(user: int) -> str:
    """43 URL-safe characters, as wxlogin's are."""
    return base64.urlsafe_b64encode(hashlib.sha256(b"%d" % user).digest()).decode().rstrip("=")


def write_fastify_sessions(redis_url: str, users: range) -> None:
    """As `fastify/serve.js` reads them: JSON by the token's hash, as long-lived as wxlogin's."""
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
