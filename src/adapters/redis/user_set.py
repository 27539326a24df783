"""What Redis keeps of a user: one sorted set, and in it what the user's sessions share.

    wx:u:<user id>  the sessions that have not ended, by the second in which each expires unused
                    the session_keys, by minus the second in which nobody needs them any more

So what is over by now has a score between minus now and now. The set lives as long as the longest session.
"""

KEEP_UNTIL = """
local function keep_until(set, millis)
    local left, time = redis.call('PTTL', set), redis.call('TIME')
    if left < 0 or left < millis - time[1] * 1000 - time[2] / 1000 then redis.call('PEXPIREAT', set, millis) end
end
"""
"""For scripts: lets a set live at least until then, in milliseconds since 1970."""


def set_of(user_id: str) -> str:
    """Return the name of a user's set."""
    return f"wx:u:{user_id}"
