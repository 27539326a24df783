"""The processes of `wxlogin serve`: a supervisor, which takes signals, and its server processes.

To replace a server process, its successor is started first. The old one stops when the successor is ready, so that no
request is lost. All server processes accept connections from one listening socket. See
docs/decisions/0020-processes.md.
"""

import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait

from entrypoints.http.listener import Listener
from entrypoints.http.systemd import notify
from entrypoints.http.worker_process import DRAIN, LEAVING, READY, Work, Worker
from entrypoints.log import log
from entrypoints.settings import SettingsError

HUNG_SECONDS = 60.0
"""How long a server process may be silent until it is killed. It is silent while it starts."""

PAUSE_SECONDS = 1.0
"""How long to wait before a dead server process is replaced: one that dies at once must not keep the machine busy."""


class StartFailed(Exception):
    """The first server process did not start. It has logged why; `status` is its exit status."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the first process ended with status {status}")
        self.status = status


class Supervisor:
    """Runs `count` server processes until SIGTERM or SIGINT. SIGHUP replaces them one by one.

    `work` runs in each server process. `reload` reads the settings again, raises SettingsError if they are wrong, and
    returns the seconds to drain; `drain_seconds` are the first ones. `on_serving` is called when the first server
    process is ready, and `on_end` with the process id of each one that has ended.
    """

    def __init__(
        self,
        listener: Listener,
        work: Work,
        count: int,
        *,
        drain_seconds: float,
        reload: Callable[[], float],
        on_serving: Callable[[], None],
        on_end: Callable[[int], None],
    ) -> None:
        self._listener = listener
        self._work = work
        self._count = count
        self._drain_seconds = drain_seconds
        self._reload_settings = reload
        self._on_serving = on_serving
        self._on_end = on_end
        self._workers: list[Worker] = []
        self._outdated: list[Worker] = []
        self._restarts: list[float] = []
        self._close_at: float | None = None
        self._is_serving = self._is_stopping = self._is_reloading = False

    def run(self) -> None:
        """Return when all server processes have stopped. Raises StartFailed when the first one does not come up."""
        with _signals_of(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
            try:
                for _ in range(self._count):
                    self._start()
                while self._workers or self._restarts:
                    self._turn(signals)
            finally:
                for worker in self._workers:
                    worker.process.kill()

    def _turn(self, signals: socket.socket) -> None:
        channels = {worker.channel: worker for worker in self._workers}
        for source in wait([*channels, signals], max(self._next_deadline() - time.monotonic(), 0)):
            if isinstance(source, Connection):
                self._hear(channels[source])
            else:
                self._obey(signals.recv(64))
        self._meet_deadlines(time.monotonic())
        if self._is_reloading:
            self._replace_next()

    def _start(self, predecessor: Worker | None = None) -> None:
        self._workers.append(Worker(self._run_worker, predecessor))

    def _run_worker(self, channel: Connection) -> None:
        """Run in the new process: close what belongs to the supervisor, and work."""
        signal.set_wakeup_fd(-1)
        for sibling in self._workers:
            sibling.channel.close()
        self._work(channel)

    def _hear(self, worker: Worker) -> None:
        try:
            report = worker.channel.recv_bytes()
        except (EOFError, OSError):
            self._bury(worker)
            return
        worker.heard_at = time.monotonic()
        if report == READY:
            self._welcome(worker)
        elif report == LEAVING and not self._is_stopping and not worker.is_leaving:
            self._start(worker)

    def _welcome(self, worker: Worker) -> None:
        worker.is_ready = True
        if not self._is_serving:
            self._is_serving = True
            self._on_serving()
            notify("READY=1")
        if worker.predecessor in self._workers:
            worker.predecessor.leave()

    def _bury(self, worker: Worker) -> None:
        """Remove a server process that has ended, and schedule its replacement if needed."""
        worker.process.join()
        worker.channel.close()
        self._workers.remove(worker)
        self._on_end(worker.process.pid or 0)
        status = worker.process.exitcode or 0
        if self._is_stopping or worker.is_leaving:
            return
        if not self._is_serving:
            raise StartFailed(status)
        if worker.predecessor in self._workers and not worker.is_ready:
            log.error("worker_failed", status=status, detail="the process that it was to replace goes on")
            self._outdated.clear()
        else:
            log.error("worker_died", pid=worker.process.pid, status=status)
            self._restarts.append(time.monotonic() + PAUSE_SECONDS)

    def _obey(self, numbers: bytes) -> None:
        for number in numbers:
            if number == signal.SIGHUP:
                self._reload()
            elif not self._is_stopping:
                self._stop()
            elif number == signal.SIGINT:  # Ctrl-C twice
                for worker in self._workers:
                    worker.kill("worker_killed")

    def _stop(self) -> None:
        log.info("stopping", drain_seconds=self._drain_seconds)
        notify("STOPPING=1")
        self._is_stopping = True
        self._restarts.clear()
        self._close_at = time.monotonic() + self._drain_seconds
        for worker in self._workers:
            if worker.is_ready:
                worker.order(DRAIN)
            else:
                worker.process.kill()

    def _close(self) -> None:
        """Close the listening socket, in all processes."""
        self._listener.refuse_connections()
        for worker in self._workers:
            worker.leave()
        self._listener.close()
        self._close_at = None

    def _reload(self) -> None:
        if self._is_stopping or not self._is_serving:
            return
        try:
            self._drain_seconds = self._reload_settings()
        except SettingsError as error:
            log.error("reload_failed", detail=str(error))
            return
        notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        self._is_reloading = True
        self._outdated = [worker for worker in self._workers if not worker.is_leaving]

    def _replace_next(self) -> None:
        """Start the successor of the next server process of a reload, when no other is being replaced."""
        if any(worker.is_leaving or not worker.is_ready for worker in self._workers):
            return
        while self._outdated:
            if (worker := self._outdated.pop(0)) in self._workers:
                self._start(worker)
                return
        self._end_reload()

    def _end_reload(self) -> None:
        self._outdated.clear()
        self._is_reloading = False
        log.info("reloaded")
        notify("READY=1")

    def _next_deadline(self) -> float:
        deadlines = [*self._restarts, self._close_at or time.monotonic() + HUNG_SECONDS]
        for worker in self._workers:
            own = (worker.stop_at, worker.kill_at, worker.heard_at + HUNG_SECONDS)
            deadlines += [deadline for deadline in own if deadline is not None]
        return min(deadlines)

    def _meet_deadlines(self, now: float) -> None:
        if self._close_at is not None and now >= self._close_at:
            self._close()
        for worker in self._workers:
            if worker.stop_at is not None and now >= worker.stop_at:
                worker.stop()
            elif worker.kill_at is not None and now >= worker.kill_at:
                worker.kill("worker_killed")
            elif now >= worker.heard_at + HUNG_SECONDS:
                worker.kill("worker_hung")
        due = [restart for restart in self._restarts if now >= restart]
        self._restarts = [restart for restart in self._restarts if now < restart]
        for _ in due:
            self._start()


def _ignore(_number: int, _frame: object) -> None:
    """Do nothing. Signals are read from the socket of `_signals_of`."""


@contextmanager
def _signals_of(*numbers: signal.Signals) -> Iterator[socket.socket]:
    """Return a socket from which the numbers of arriving signals can be read, one byte each."""
    reading, writing = socket.socketpair()
    reading.setblocking(False)
    writing.setblocking(False)
    handlers = {number: signal.signal(number, _ignore) for number in numbers}
    signal.set_wakeup_fd(writing.fileno())
    try:
        yield reading
    finally:
        signal.set_wakeup_fd(-1)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        reading.close()
        writing.close()
