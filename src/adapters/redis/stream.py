"""An open connection to Redis, by callbacks, which cost a fifth of what redis-py's reading and waiting do.

Only hiredis knows the protocol here. redis-py opens the connection and closes it.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from hiredis import PushNotification, Reader, pack_command
from redis.exceptions import ConnectionError as BrokenConnection
from redis.exceptions import ResponseError

from adapters.redis.pools import ANSWER_SECONDS

Command = tuple[Any, ...]
"""Its name and arguments: text, bytes and numbers."""

NOTHING = object()
"""Stands for a reply that is not here yet."""

NO_MASTER = ("READONLY", "MASTERDOWN", "LOADING")
"""How a Redis refuses that is no master any more, or not yet: another connection may find the one that is."""


class Stream(asyncio.Protocol):
    """Asks, and takes in the answers. `changed` is called with the keys of which Redis tells that they changed.

    Redis tells that in order with its answers, and None for all keys, of what was read on a connection with tracking
    (https://redis.io/docs/latest/develop/reference/client-side-caching/).
    """

    def __init__(self, transport: asyncio.Transport, changed: Callable[[Sequence[bytes] | None], None]) -> None:
        self.is_open = True
        self._transport = transport
        self._changed = changed
        self._reader = Reader(replyError=self._refusal, notEnoughData=NOTHING)
        self._answers: list[Any] = []
        self._expected = 0
        self._pending: asyncio.Future[list[Any]] | None = None
        self._opener = transport.get_protocol()
        transport.set_protocol(self)

    def send(self, commands: Sequence[Command]) -> asyncio.Future[list[Any]]:
        """Send the commands; what they give, refusals too, or BrokenConnection or TimeoutError. One at a time."""
        loop = asyncio.get_running_loop()
        pending = self._pending = loop.create_future()
        self._answers, self._expected = [], len(commands)
        self._deadline = loop.call_later(ANSWER_SECONDS, self._end, TimeoutError())
        if self.is_open and not self._transport.is_closing():  # before it tells so, uvloop raises RuntimeError
            self._transport.write(b"".join(map(pack_command, commands)))
        else:
            self._end(BrokenConnection("Redis closed the connection"))
        return pending

    def data_received(self, data: bytes) -> None:
        """Take in what came."""
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not NOTHING:
            if not isinstance(reply, PushNotification):
                self._answers.append(reply)
            elif reply[0] == b"invalidate":
                self._changed(reply[1])
        if len(self._answers) == self._expected:
            self._end(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing will come any more."""
        self.is_open = False
        self._end(BrokenConnection(f"Redis closed the connection ({exc or 'without a word'})"))
        self._opener.connection_lost(exc)

    def _refusal(self, text: str) -> ResponseError:
        if text.startswith(NO_MASTER):
            self._end(BrokenConnection("this Redis takes no commands now"))
        return ResponseError(text)

    def _end(self, error: Exception | None) -> None:
        pending, self._pending = self._pending, None
        if pending is None:
            return
        self._deadline.cancel()
        if pending.done():  # who asked has given up
            return
        if error:
            pending.set_exception(error)
        else:
            pending.set_result(self._answers)
