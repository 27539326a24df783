"""Sessions as rows."""

from typing import Any

from sqlalchemy import Row

from domain.device import Device
from domain.identity import AppId, Identity
from domain.session import Session


def session_of(row: Row[Any]) -> Session:
    """Return the session of a row. Whether it has ended is in the row."""
    return Session(
        id=row.id,
        user_id=row.user_id,
        identity=Identity(AppId(row.appid), row.openid, row.unionid),
        device=Device(row.user_agent, row.ip),
        created_at=row.created_at,
        last_seen_at=row.last_seen_at,
        idle_expires_at=row.idle_expires_at,
        expires_at=row.expires_at,
    )


def row_of(session: Session) -> dict[str, Any]:
    """Return the row of a session that has not ended."""
    return {
        "id": session.id,
        "user_id": session.user_id,
        "appid": session.identity.appid.value,
        "openid": session.identity.openid,
        "unionid": session.identity.unionid,
        "user_agent": session.device.user_agent,
        "ip": session.device.ip,
        "created_at": session.created_at,
        "last_seen_at": session.last_seen_at,
        "idle_expires_at": session.idle_expires_at,
        "expires_at": session.expires_at,
        "retain_until": session.retain_until,
    }
