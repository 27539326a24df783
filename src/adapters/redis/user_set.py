"""The sorted set of a user in Redis, with their sessions and session_keys.

    wx:u:<user id>  the sessions that were not ended; the score is the second in which each expires unused
                    the session_keys; the score is minus the second in which their retention ends

So members that are over have scores between minus now and now. The set lives as long as the longest session.
"""

KEEP_UNTIL = """
local function keep_until(set, millis)
    local left, time = redis.call('PTTL', set), redis.call('TIME')
    if left < 0 or left < millis - time[1] * 1000 - time[2] / 1000 then redis.call('PEXPIREAT', set, millis) end
end
"""
"""A function for scripts: sets the expiry of a set, in milliseconds since 1970, unless it is later already."""


def set_of(user_id: str) -> str:
    """Return the name of a user's set."""
    return f"wx:u:{user_id}"
