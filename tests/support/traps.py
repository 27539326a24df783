"""Traps: at the nth part of data between a client and its server, the data is lost, and something happens."""

import threading
from collections.abc import Callable

from support.proxy import Proxy


def _do_nothing() -> None:
    """Do nothing."""


class Trap:
    """Strikes at a part of data. That part is lost, and so are all later ones until the trap is disarmed."""

    def __init__(self, strike: Callable[[], object] = _do_nothing) -> None:
        self.strike = strike
        self._lock = threading.Lock()  # each proxy has its own thread
        self._left: int | None = None
        self._marker = b""
        self._struck = False

    @property
    def struck(self) -> bool:
        """Return whether it has struck since it was armed."""
        return self._struck

    def watch(self, proxy: Proxy) -> None:
        """Count the parts of this proxy, too."""
        proxy.on_part = self._pass

    def arm(self, step: int, marker: bytes = b"") -> None:
        """Strike at this part, counted from now and from 0, of those that contain the marker."""
        with self._lock:
            self._left, self._marker, self._struck = step, marker, False

    def disarm(self) -> bool:
        """Let all data pass, and return whether it struck."""
        with self._lock:
            self._left = None
            return self._struck

    def _pass(self, part: bytes) -> bool:
        with self._lock:
            if self._left is None:
                return True
            if self._struck:
                return False
            if self._marker in part:
                self._left -= 1
            if self._left < 0:
                self._struck = True
                self.strike()
            return not self._struck
