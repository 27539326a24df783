"""A server process of `wxlogin serve`, and the messages between it and the supervisor."""

import multiprocessing
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection

from entrypoints.log import log

LINGER_SECONDS = 2.0
"""How long a server process that accepts no more connections serves those it has: each closes with its next answer."""

FINISH_SECONDS = 10.0
"""How long requests in flight may take when a server process stops: longer than any of their time limits."""

READY, ALIVE, LEAVING = b"ready", b"alive", b"leaving"
"""The reports of a server process: it serves; its event loop runs; it received SIGTERM itself."""

DRAIN, CLOSE, STOP = b"drain", b"close", b"stop"
"""The orders to a server process. DRAIN: answer 503 at `/readyz`, and close each connection with its next answer.
CLOSE: accept no new connection, and close the open ones likewise. STOP: finish the requests in flight, and end."""

FORK = multiprocessing.get_context("fork")

Work = Callable[[Connection], None]
"""The life of a server process: it reports and takes orders on the connection, and returns when it has stopped."""


class Worker:
    """A server process, in the supervisor. Times are in monotonic seconds."""

    def __init__(self, work: Work, predecessor: "Worker | None" = None) -> None:
        self.predecessor = predecessor
        self.heard_at = time.monotonic()
        self.is_ready = self.is_leaving = False
        self.stop_at: float | None = None
        self.kill_at: float | None = None
        self.channel, theirs = FORK.Pipe()
        self.process = FORK.Process(target=self._run, args=[work, theirs])
        self.process.start()
        theirs.close()

    def _run(self, work: Work, channel: Connection) -> None:
        self.channel.close()  # else the supervisor's death would go unnoticed
        work(channel)

    def leave(self) -> None:
        """Order CLOSE now, and STOP LINGER_SECONDS later."""
        if not self.is_leaving:
            self.is_leaving = True
            self.order(CLOSE)
            self.stop_at = time.monotonic() + LINGER_SECONDS

    def stop(self) -> None:
        """Order STOP, and kill the process if it has not ended a second after FINISH_SECONDS."""
        self.order(STOP)
        self.stop_at, self.kill_at = None, time.monotonic() + FINISH_SECONDS + 1

    def kill(self, event: str) -> None:
        """Kill the process, and log why."""
        log.error(event, pid=self.process.pid)
        self.process.kill()
        self.heard_at, self.kill_at = time.monotonic(), None

    def order(self, order: bytes) -> None:
        """Send an order, if the process still runs."""
        with suppress(OSError):  # it has just ended
            self.channel.send_bytes(order)
