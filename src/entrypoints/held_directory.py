"""A temporary directory that several processes use. What they leave when they are killed goes at the next start.

Each of them holds a lock on it, of which the system lets go when a process ends, however it ends (flock(2)).
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock
from pathlib import Path


@contextmanager
def held_directory(prefix: str) -> Iterator[Path]:
    """A new one, this user's alone, for as long as the block lasts. Those of the same prefix that nobody holds go."""
    for left in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        _remove_unless_held(left)
    directory, lock = _make(prefix)
    try:
        yield directory
    finally:
        shutil.rmtree(directory)
        os.close(lock)


def hold(directory: Path) -> int:
    """Keep others from removing it until the descriptor is closed, or the process ends. Raises OSError."""
    lock = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    flock(lock, LOCK_SH)
    return lock


def _make(prefix: str) -> tuple[Path, int]:
    while True:
        directory = Path(tempfile.mkdtemp(prefix=prefix))
        with suppress(FileNotFoundError):  # another start found it before it was held
            lock = hold(directory)
            if directory.exists():
                return directory, lock
            os.close(lock)


def _remove_unless_held(directory: Path) -> None:
    with suppress(OSError):  # somebody holds it, or removes it at this moment, or it is another user's
        lock = os.open(directory, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            flock(lock, LOCK_EX | LOCK_NB)
            shutil.rmtree(directory)
        finally:
            os.close(lock)
