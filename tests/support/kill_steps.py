"""Kill a process at the nth step of its SQLite database, between which no proxy can be: SQLite is in the process."""

import os
import signal
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.pool import Pool

KILL_FILE = "TEST_KILL_FILE"
"""The environment variable with the path of the file that says at which step to kill. Without the file, none does."""

_lock = threading.Lock()


def kill_at_steps(file: Path) -> None:
    """Count the steps of this process and of those that it forks: each statement, commit, and end of a transaction."""

    def before_statement(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        _step(file, statement)

    event.listen(Engine, "before_cursor_execute", before_statement)
    event.listen(Engine, "commit", lambda _: _step(file, "COMMIT"))
    event.listen(Pool, "checkin", lambda *_: _step(file, "the end"))


def _step(file: Path, what: str) -> None:
    with _lock, suppress(FileNotFoundError), file.open("r+") as opened:
        left, marker = opened.read().split("\n", 1)
        if marker not in what:
            return
        if left == "0":
            file.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        opened.seek(0)
        opened.truncate()
        opened.write(f"{int(left) - 1}\n{marker}")


class SqliteTrap:
    """A Trap at the steps of the processes with KILL_FILE."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._is_armed = False

    @property
    def struck(self) -> bool:
        """See Trap."""
        return self._is_armed and not self.file.exists()

    def arm(self, step: int, marker: bytes = b"") -> None:
        """See Trap."""
        new = self.file.with_suffix(".new")
        new.write_text(f"{step}\n{marker.decode()}")
        new.replace(self.file)
        self._is_armed = True

    def disarm(self) -> bool:
        """See Trap."""
        struck, self._is_armed = self.struck, False
        self.file.unlink(missing_ok=True)
        return struck
